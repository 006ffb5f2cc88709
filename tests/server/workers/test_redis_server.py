"""The throwaway Redis of the tests: it answers, crashes, comes back empty at the same address, dies with us.

Covers tests/redis_server.py.
"""

from __future__ import annotations

from typing import Any

import pytest
import redis

pytestmark = pytest.mark.network


def test_it_answers_crashes_and_comes_back_empty_at_the_same_address(redis_server: Any) -> None:
    client = redis.Redis.from_url(redis_server.url)
    client.set("a", "1")
    redis_server.kill()
    assert not redis_server.running
    with pytest.raises(redis.ConnectionError):
        client.get("a")
    redis_server.start()
    assert client.get("a") is None
    client.close()
