"""Sessions against a model: no token of an ended family refreshes, and no honest client is signed out."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, rule

from examples import examples
from jwt_lp import InvalidToken, SignInRefused
from signin.signin_world import World, new_world

pytest.importorskip("sqlalchemy", reason="needs SQLAlchemy (extra `sql`)")

GRACE = 10.0


@dataclass(eq=False)
class Client:
    """An honest client and all tokens of its family, by number; thieves have copies of all of them."""

    subject: str
    family: str
    tokens: list[str]
    access: list[str]
    rotated_at: float
    older: list[str] = field(default_factory=list)
    ended: bool = False

    @property
    def counter(self) -> int:
        return len(self.tokens) - 1


class SessionsMachine(RuleBasedStateMachine):
    """Sign-ins, refreshes, thefts and sign-outs in any order, at any time."""

    clients = Bundle("clients")

    @initialize()
    def start(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self.world: World = new_world(Path(self._folder.name), grace=GRACE)
        self.known: list[Client] = []

    @rule(target=clients, subject=st.sampled_from(["alice", "bob"]))
    def sign_in(self, subject: str) -> Client:
        tokens = self.world.sessions.start(subject)
        client = Client(subject, tokens.family, [tokens.refresh_token], [tokens.access_token], self.world.clock.now)
        self.known.append(client)
        return client

    @rule(seconds=st.sampled_from([0.5, 4.0, GRACE, GRACE + 0.5, 300.0]))
    def wait(self, seconds: float) -> None:
        self.world.clock.now += seconds

    @rule(client=clients)
    def refresh(self, client: Client) -> None:
        """The honest client uses its newest token."""
        self._send(client, client.counter)

    @rule(client=clients)
    def refresh_again(self, client: Client) -> None:
        """It lost the answer, or has a second tab, and sends the last token again, which it does not do later."""
        if client.counter and self.world.clock.now - client.rotated_at <= GRACE:
            self._send(client, client.counter - 1)

    @rule(client=clients, age=st.integers(1, 4))
    def steal(self, client: Client, age: int) -> None:
        """A thief sends an older token."""
        if age <= client.counter:
            self._send(client, client.counter - age)

    @rule(client=clients, age=st.integers(0, 2))
    def sign_out(self, client: Client, age: int) -> None:
        ended = self.world.sessions.end(client.tokens[max(0, client.counter - age)])
        assert ended is not client.ended
        client.ended = True

    @rule(subject=st.sampled_from(["alice", "bob"]))
    def sign_out_everywhere(self, subject: str) -> None:
        living = [client for client in self.known if client.subject == subject and not client.ended]
        assert len(living) == self.world.sessions.end_all(subject)
        for client in living:
            client.ended = True

    @rule(client=clients)
    def restore_an_older_copy(self, client: Client) -> None:
        """A token that is ahead of the store is refused, and ends nothing."""
        family = self.world.store.family(client.family)
        assert family is not None
        ahead = self.world.sessions._refresh_tokens.make(family, client.counter + 1, family.expires_at)
        assert not self._accepted(ahead)

    def _send(self, client: Client, counter: int) -> None:
        """Send a token, and compare what happens with what the model says."""
        now = self.world.clock.now
        newest = counter == client.counter
        repeated = counter == client.counter - 1 and now - client.rotated_at <= GRACE
        expected = not client.ended and (newest or repeated)
        try:
            tokens = self.world.sessions.renew(client.tokens[counter])
        except SignInRefused:
            assert not expected
            client.ended = True
            return
        assert expected
        client.access.append(tokens.access_token)
        if newest:
            client.tokens.append(tokens.refresh_token)
            client.rotated_at = now
        else:
            # Either copy of the same number will do.
            client.older.append(client.tokens[-1])
            client.tokens[-1] = tokens.refresh_token

    def _accepted(self, token: str) -> bool:
        try:
            self.world.sessions.renew(token)
        except SignInRefused:
            return False
        return True

    def _is_accepted(self, access_token: str) -> bool:
        """Whether a guard would accept it; an expired one it would not."""
        try:
            return self.world.accepts(access_token)
        except InvalidToken:
            return False

    def teardown(self) -> None:
        if not hasattr(self, "known"):
            return
        for client in self.known:
            family = self.world.store.family(client.family)
            assert family is not None
            assert (client.ended, client.counter) == (family.ended_at is not None, family.counter)
            if client.ended:
                assert not any(map(self._accepted, (*client.tokens, *client.older)))
                assert not any(self._is_accepted(token) for token in client.access[-2:])
            else:
                assert self._accepted(client.tokens[-1])
        self.world.store.close()
        self._folder.cleanup()


SessionsMachine.TestCase.settings = settings(examples(15), stateful_step_count=40)
TestSessions = SessionsMachine.TestCase
