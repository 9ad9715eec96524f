"""The notifications service's environment."""

from email.errors import MessageError
from email.headerregistry import Address
from email.policy import SMTP as SMTP_POLICY
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr, ValidationInfo, field_validator

from libs.common.config import BrokerSettings, DatabaseSettings, DataSettings, HttpSettings, ObservabilitySettings
from services.notifications.channels.email import Server, server_of


def _smtp_url(value: SecretStr) -> SecretStr:
    server_of(value.get_secret_value())
    return value


class Config(HttpSettings, DataSettings, DatabaseSettings, BrokerSettings, ObservabilitySettings):
    """What an operator may set; the defaults are those of a single machine."""

    smtp_url: Annotated[SecretStr, AfterValidator(_smtp_url)] | None = None
    mail_from: Annotated[str | None, Field(max_length=320, validate_default=True)] = None

    @field_validator("mail_from")
    @classmethod
    def _there_with_its_server(cls, found: str | None, info: ValidationInfo) -> str | None:
        if found is None:
            if info.data.get("smtp_url") is not None:
                raise ValueError("must be set where REEVE_SMTP_URL is")
            return None
        address_of(found)
        return found

    @property
    def mail_server(self) -> Server | None:
        """Where mails are handed over; None where links are printed."""
        return server_of(self.smtp_url.get_secret_value()) if self.smtp_url is not None else None

    @property
    def sender(self) -> Address:
        """Whom mails are from."""
        return address_of(self.mail_from or "")


def address_of(text: str) -> Address:
    """The one address that a text such as `Reeve <reeve@example.com>` is. Raises `ValueError`."""
    rule = "must be one address, such as Reeve <reeve@example.com>"
    if not text.isprintable():
        raise ValueError(rule)
    try:
        header = SMTP_POLICY.header_factory("From", text)
        (address,) = header.addresses
    except (MessageError, ValueError, IndexError, AttributeError):
        raise ValueError(rule) from None
    if header.defects or not address.username or not address.domain or not address.addr_spec.isascii():
        raise ValueError(rule)
    return Address(address.display_name, addr_spec=address.addr_spec)
