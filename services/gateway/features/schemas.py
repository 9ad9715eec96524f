"""Query parameters that every list route has."""

from libs.common.web.paging import PageQuery


class ListQuery(PageQuery):
    """Paging: `limit` with either `skip` (at most 10,000) or `cursor`."""
