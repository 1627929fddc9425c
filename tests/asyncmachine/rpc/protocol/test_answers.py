from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from asyncmachine.rpc.protocol.answers import PENDING, Answers, Memory

ME = ("me", bytes(16))


def kept(answers: Answers[str], *rids: int, acked: int = 0) -> None:
    for rid in rids:
        assert answers.begin(rid)
        answers.keep(rid, (0, rid), rid, acked)


def test_an_answer_is_kept_until_it_has_arrived() -> None:
    answers: Answers[str] = Answers(100)
    kept(answers, 1, 2, 3)
    assert not answers.begin(2)
    assert answers.find(2) == (0, 2)
    kept(answers, 4, acked=2)
    assert [answers.find(rid) for rid in (1, 2, 3, 4)] == [None, None, (0, 3), (0, 4)]


def test_the_oldest_are_forgotten_first() -> None:
    answers: Answers[str] = Answers(3)
    kept(answers, *range(1, 10))
    assert [answers.find(rid) for rid in (6, 7, 9)] == [None, (0, 7), (0, 9)]
    assert len(answers) == 3


def test_what_arrived_before_the_end_is_forgotten() -> None:
    answers: Answers[str] = Answers(100)
    kept(answers, 1, 2, 3)
    answers.end_session(1.0, 2)
    assert [answers.find(rid) for rid in (1, 2, 3)] == [None, None, (0, 3)]
    answers.keep(3, (0, 3), 1, 0)  # asked again, told again
    kept(answers, 4)
    assert answers.find(3) == (0, 3)


def test_who_goes_on_has_asked_again_all_that_it_wanted() -> None:
    answers: Answers[str] = Answers(100)
    kept(answers, 1, 2)
    answers.begin(3)
    answers.keep(3, PENDING, 0, 0)
    answers.end_session(1.0, 0)
    assert len(answers) == 3
    kept(answers, 4)
    assert [answers.find(rid) for rid in (1, 2, 3)] == [None, None, PENDING]


def test_what_is_pending_outlives_sessions() -> None:
    answers: Answers[str] = Answers(100)
    answers.begin(1)
    answers.keep(1, PENDING, 1, 0)
    answers.end_session(0.0, 5)
    assert answers.find(1) is PENDING
    answers.keep(1, (0, 9), answers.NEVER, 0)
    assert answers.find(1) == (0, 9)


def test_a_client_is_known_by_its_name_and_its_life() -> None:
    memory: Memory[str] = Memory(10, 60.0, 5)
    answers, known = memory.open(ME, "one", 0.0)
    assert not known
    answers.begin(7)
    memory.close(ME, "one", 1.0, 0)
    again, known = memory.open(ME, "two", 2.0)
    assert known
    assert again is answers
    assert again.last == 7
    assert not memory.open(("me", bytes(15) + b"x"), "three", 2.0)[1]


def test_a_client_that_is_away_is_forgotten_after_a_while() -> None:
    memory: Memory[str] = Memory(10, 60.0, 5)
    memory.open(ME, "one", 0.0)
    memory.close(ME, "one", 1.0, 0)
    assert memory.open(ME, "two", 60.9)[1]
    memory.close(ME, "two", 61.0, 0)
    assert not memory.open(ME, "three", 121.0)[1]


def test_only_so_many_that_are_away() -> None:
    memory: Memory[str] = Memory(10, 60.0, 5)
    for number in range(100):
        memory.open(number, "x", 0.0)
    for number in range(100):
        memory.close(number, "x", 0.0, 0)
    assert len(memory) == 5
    assert memory.open(99, "y", 0.0)[1]
    assert not memory.open(0, "y", 0.0)[1]


def test_an_end_that_comes_late_does_not_count() -> None:
    memory: Memory[str] = Memory(10, 60.0, 5)
    answers, _ = memory.open(ME, "one", 0.0)
    kept(answers, 1)
    memory.open(ME, "two", 1.0)
    memory.close(ME, "one", 2.0, 99)
    assert answers.session == "two"
    assert answers.find(1) == (0, 1)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 50)), max_size=60))
def test_memory_is_bounded_whatever_is_asked(steps: list[tuple[int, int]]) -> None:
    answers: Answers[str] = Answers(8)
    frame = 0
    for action, number in steps:
        if action == 0:
            answers.end_session(0.0, number)
        elif answers.begin(answers.last + 1 if action > 1 else number):
            frame += 1
            answers.keep(answers.last, PENDING if action == 3 else (0, 1), frame, number)
        assert len(answers) <= 16
