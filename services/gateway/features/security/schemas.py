"""Bodies of the address rules."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from services.gateway.access.ip_rules import MOST_NETWORKS, IpRules, read_networks


def _networks(texts: list[str]) -> list[str]:
    try:
        return [str(network) for network in read_networks(texts)]
    except ValueError:
        raise ValueError("must be addresses or CIDRs without host bits, such as 192.0.2.0/24") from None


Networks = Annotated[
    list[Annotated[str, Field(min_length=2, max_length=49)]], Field(max_length=MOST_NETWORKS), AfterValidator(_networks)
]


class IpRulesRequest(BaseModel):
    """All rules at once. `deny` holds for everybody; administrators are let in from `allow` alone, unless it is empty."""

    model_config = ConfigDict(extra="forbid")

    allow: Networks
    deny: Networks


class IpRulesResponse(BaseModel):
    """The rules as they hold now."""

    allow: list[str]
    deny: list[str]
    version: int

    @classmethod
    def of(cls, rules: IpRules) -> "IpRulesResponse":
        """The rules of a version."""
        return cls(
            allow=[str(one) for one in rules.allow], deny=[str(one) for one in rules.deny], version=rules.version
        )
