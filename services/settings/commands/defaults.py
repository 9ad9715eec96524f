"""Creates the default settings that never were."""

from collections.abc import Sequence
from datetime import datetime

from libs.common.database import outbox
from libs.common.database.engine import Session
from libs.common.events.envelope import Event
from libs.common.identity import ActorType
from libs.common.ids import new_id
from services.settings.commands import writes
from services.settings.commands.outcomes import Ask
from services.settings.models.defaults import DefaultSetting
from services.settings.models.errors import SettingExists
from services.settings.secrets.vault import Vault
from services.settings.store import settings

_SERVICE = "settings"


async def create_defaults(
    session: Session, wanted: Sequence[DefaultSetting], *, vault: Vault, at: datetime
) -> list[Event]:
    """Create those whose key has no history, and tell of each. Doing it again does nothing."""
    ask = Ask(at=at, actor_id=_SERVICE, actor_type=ActorType.SYSTEM.value, correlation_id=new_id())
    created = []
    for one in wanted:
        if await settings.next_version(session, one.key) > 1:
            continue
        try:
            event = await writes.create_setting(
                session, ask, vault=vault, key=one.key, definition=one.definition, given=one.given
            )
        except SettingExists:
            continue  # Another instance starts at the same moment.
        created.append(event)
    await outbox.emit(session, *created)
    return created
