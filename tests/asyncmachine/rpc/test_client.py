from __future__ import annotations

import anyio
import pytest

from .conftest import session

pytestmark = pytest.mark.anyio


async def test_a_mirror_shows_its_own_mutation_as_soon_as_it_is_answered() -> None:
    async with session() as pair:
        assert not pair.mirror.is_active("Start")
        result = await pair.mirror.add("Start")
        assert result.executed
        assert pair.mirror.is_active("Start")
        assert pair.source.is_active("Start")
        assert pair.mirror.tick("Start") == 1
        with anyio.fail_after(2):
            wait = pair.mirror.when("Seen")
            pair.source.add("Seen")
            await wait
