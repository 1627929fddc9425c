from __future__ import annotations

from asyncmachine._core.scopes import Scopes, Token


class Item:
    def __init__(self) -> None:
        self.cancelled = 0

    def cancel(self) -> None:
        self.cancelled += 1


def test_a_token_is_shared_until_it_expires() -> None:
    scopes = Scopes()
    token = scopes.token(3, 1)
    assert scopes.token(3, 1) is token
    assert scopes.mask == 1 << 3
    scopes.expire(1 << 3)
    assert token.expired
    assert scopes.mask == 0
    assert scopes.token(3, 2) is not token


def test_expire_returns_only_tokens_with_something_attached() -> None:
    scopes = Scopes()
    busy, idle, other = scopes.token(0, 1), scopes.token(1, 1), scopes.token(2, 1)
    busy.attach(Item())
    other.attach(Item())
    assert scopes.expire(0b011) == [busy]
    assert idle.expired
    assert not other.expired
    assert scopes.mask == 0b100
    assert scopes.expire_all() == [other]
    assert scopes.mask == 0


def test_cancel_attached_cancels_each_item_once() -> None:
    token, item, detached = Token(0, 1), Item(), Item()
    token.attach(item)
    token.attach(detached)
    token.detach(detached)
    token.cancel_attached()
    token.cancel_attached()
    assert (item.cancelled, detached.cancelled) == (1, 0)


def test_what_is_attached_to_an_expired_token_is_cancelled_at_once() -> None:
    token, item = Token(0, 1), Item()
    token.expired = True
    token.attach(item)
    assert item.cancelled == 1
    assert not token.attached
    token.detach(item)
