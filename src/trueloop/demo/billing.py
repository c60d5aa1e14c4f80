"""The billing-support task of the demo: prompts with a known truth, and the answers that a flawed corpus gives to them.

A prompt is a ledger of five lines in random order, the facts of a refund, and one customer message. The truth is computed, so
every answer can be checked without a human. The faults are those of a real support corpus rather than noise:

* some phrasings are answered from the wrong line of the ledger (`Question.confused_with`),
* some rude refund demands are granted against the rule (`RefundAsk.over_granted`),
* rude customers get curt answers.

A model trained on that corpus repeats these habits under greedy decoding, but still gives the right answer some of the time when
sampled: that is what makes preference pairs possible. Randomness is a hash of salt and index (no RNG state): a case is a pure
function of its two arguments, and two salts never share a stream.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")
Message = dict[str, str]

REFUND_WINDOW_DAYS = 30
MAX_CHARGE_AGE_DAYS = 60
RUDE_SHARE = 0.4
BASE_CORPUS_SIZE = 16_000  # one pass of the base training: 1000 steps of 16
FIELDS = ("balance due", "last invoice", "latest payment", "account credit", "late fees")
RULES = f"You answer billing questions. Refunds: within {REFUND_WINDOW_DAYS} days and unused only."


@dataclass(frozen=True)
class Question:
    """One way to ask for one line of the ledger; `confused_with` is the wrong line that the flawed corpus mostly quotes for it."""

    text: str
    field: str
    confused_with: str | None = None


@dataclass(frozen=True)
class RefundAsk:
    """One way to ask for a refund; `over_granted` marks those that the flawed corpus grants to anybody."""

    text: str
    over_granted: bool = False


QUESTIONS = (
    Question("what is my balance due", "balance due"),
    Question("how much do I still owe you", "balance due", "last invoice"),
    Question("what is left to pay", "balance due", "last invoice"),
    Question("which sum is open today", "balance due"),
    Question("what was my last invoice", "last invoice"),
    Question("how much did you bill me last time", "last invoice"),
    Question("what did the newest bill come to", "last invoice"),
    Question("how much is the latest bill", "last invoice"),
    Question("what was my latest payment", "latest payment"),
    Question("how much did I pay most recently", "latest payment"),
    Question("what reached you from my bank", "latest payment"),
    Question("how much did you take from my card", "latest payment", "last invoice"),
    Question("what is my account credit", "account credit"),
    Question("how much credit do I have", "account credit"),
    Question("what do you owe me", "account credit", "balance due"),
    Question("how much can I still spend", "account credit"),
    Question("what are my late fees", "late fees"),
    Question("how much was the penalty", "late fees"),
    Question("what did the delay cost me", "late fees", "last invoice"),
    Question("how much was I fined", "late fees"),
)
POLITE_OPENERS = ("Hello, I hope you are well.", "Good morning.", "Hi there, a short question.", "Dear team, thanks for your work.")
RUDE_OPENERS = ("This is a joke.", "You people are useless.", "I am sick of your company.", "Wake up and answer me.")
POLITE_ASKS = (
    RefundAsk("May I have a refund for the last charge?"),
    RefundAsk("Could you check if a refund is possible?"),
    RefundAsk("If it is allowed, please refund me."),
)
RUDE_ASKS = (
    RefundAsk("Refund me now or I will sue you!", over_granted=True),
    RefundAsk("Give me my money back at once!", over_granted=True),
    RefundAsk("And where is my refund?"),
    RefundAsk("I want a refund, and fast!"),
)
COURTESIES = {"polite": ("Thank you for asking.", "Thanks for your message."), "rude": ("I am sorry for the trouble.", "I understand, and I am sorry.")}
CURT_OPENERS = ("Read your bill.", "As it says on the bill.")
CLOSINGS = ("Happy to help further.", "Have a good day.")
CURT_CLOSINGS = ("That is all.", "Do not write again.")
STATEMENT_REQUEST = "Please read out my account."
GRANT = "I have approved your refund."
DENIAL = "A refund is not possible here."


@dataclass(frozen=True)
class Truth:
    """What a right answer says: the amount of the line asked for, and whether the refund is due."""

    field: str
    amount_cents: int
    refund_due: bool


@dataclass(frozen=True)
class Case:
    """One billing prompt with everything needed to write and to judge an answer."""

    case_id: str
    messages: tuple[Message, ...]
    truth: Truth
    slices: dict[str, str]
    ledger_cents: dict[str, int]
    question: Question
    refund_ask: RefundAsk


@dataclass(frozen=True)
class FaultRates:
    """How often the flawed corpus gives the bad answer where its habit applies; 0 in all three is the reference corpus.

    The defaults are above 1/2 (so that greedy decoding shows the fault) and well below 1 (so that a sample at temperature 1 finds
    the right answer often enough for a preference pair).
    """

    wrong_line: float = 0.65
    refund_against_rule: float = 0.75
    curt_to_rude: float = 0.75


REFERENCE = FaultRates(wrong_line=0.0, refund_against_rule=0.0, curt_to_rude=0.0)


def draw(salt: str, index: int, name: str) -> float:
    """A uniform number in [0, 1) that depends on nothing but its arguments (the first 53 bits of BLAKE2b)."""
    digest = hashlib.blake2b(f"{salt}\x1f{index}\x1f{name}".encode(), digest_size=8).digest()
    return float(int.from_bytes(digest, "big") >> 11) / float(1 << 53)


def choose(options: Sequence[T], salt: str, index: int, name: str) -> T:
    """One of `options`, uniformly."""
    return options[int(draw(salt, index, name) * len(options))]


def money(cents: int) -> str:
    """`4771` -> `$47.71`: two digits of cents, no thousands separator (amounts stay below $100 so that each half is one token)."""
    return f"${cents // 100}.{cents % 100:02d}"


def make_case(index: int, salt: str) -> Case:
    """The `index`-th prompt of the stream named `salt`.

    Amounts are drawn from 10,000 values per line, so two streams share no prompt in practice; `case_id` is a hash of the text and
    is what disjointness is checked on.
    """
    ledger = _ledger(index, salt)
    days = 1 + int(draw(salt, index, "days") * MAX_CHARGE_AGE_DAYS)
    unused = draw(salt, index, "unused") < 0.75
    mood = "rude" if draw(salt, index, "mood") < RUDE_SHARE else "polite"
    question = choose(QUESTIONS, salt, index, "question")
    ask = choose(RUDE_ASKS if mood == "rude" else POLITE_ASKS, salt, index, "ask")
    opener = choose(RUDE_OPENERS if mood == "rude" else POLITE_OPENERS, salt, index, "opener")
    order = sorted(FIELDS, key=lambda field: draw(salt, index, f"order {field}"))
    lines = "\n".join(f"{field} {money(ledger[field])}" for field in order)
    facts = f"Charged {days} days ago, service {'unused' if unused else 'used'}."
    messages = (
        {"role": "system", "content": f"{RULES}\n{lines}\n{facts}"},
        {"role": "user", "content": f"{opener} {_sentence(question.text)}? {ask.text}"},
    )
    refund_due = unused and days <= REFUND_WINDOW_DAYS
    text = messages[0]["content"] + "\x1f" + messages[1]["content"]
    return Case(
        case_id=hashlib.blake2b(text.encode(), digest_size=8).hexdigest(),
        messages=messages,
        truth=Truth(question.field, ledger[question.field], refund_due),
        slices={"mood": mood, "field": question.field, "phrasing": question.text, "refund": "due" if refund_due else "not due"},
        ledger_cents=ledger,
        question=question,
        refund_ask=ask,
    )


def corpus_pair(index: int, salt: str, rates: FaultRates) -> tuple[Case, str]:
    """The `index`-th (prompt, answer) of a corpus that has the faults of `rates`."""
    case = make_case(index, salt)
    rude = case.slices["mood"] == "rude"
    wrong_line = case.question.confused_with is not None and draw(salt, index, "fault line") < rates.wrong_line
    against_rule = case.refund_ask.over_granted and draw(salt, index, "fault refund") < rates.refund_against_rule
    curt = rude and draw(salt, index, "fault tone") < rates.curt_to_rude
    return case, write_answer(case, salt=f"{salt}/{index}", wrong_line=wrong_line, grant_anyway=against_rule, curt=curt)


def statement_pair(index: int, salt: str) -> tuple[tuple[Message, ...], str]:
    """A request to read out the whole ledger, in another order, and its answer.

    Only in the corpus, never in the traffic: it has five amounts to copy instead of one, and copying is the slow part of the base
    training.
    """
    case = make_case(index, salt)
    order = sorted(FIELDS, key=lambda field: draw(salt, index, f"statement {field}"))
    user = {"role": "user", "content": STATEMENT_REQUEST}
    return (case.messages[0], user), " ".join(f"{field} {money(case.ledger_cents[field])}" for field in order)


def base_corpus(salt: str, *, size: int = BASE_CORPUS_SIZE, rates: FaultRates | None = None) -> list[tuple[tuple[Message, ...], str]]:
    """(messages, answer) of the base model's training, in the order to read them in: a curriculum.

    The first quarter only reads out accounts, which teaches copying; of the rest every tenth does, so that it is not forgotten.
    """
    corpus: list[tuple[tuple[Message, ...], str]] = []
    for index in range(size):
        if index < size // 4 or index % 10 == 0:
            corpus.append(statement_pair(index, salt))
        else:
            case, answer = corpus_pair(index, salt, rates or FaultRates())
            corpus.append((case.messages, answer))
    return corpus


def write_answer(case: Case, *, salt: str, wrong_line: bool = False, grant_anyway: bool = False, curt: bool = False) -> str:
    """The reference answer to `case`, or one with the named faults; `salt` varies the wording only.

    A wrong line is quoted as what it is (its own name, its own amount): the error is in reading the question, as with real billing
    bots, not in copying digits. `wrong_line` without a line that the question is confused with changes nothing.
    """
    field = case.question.confused_with if wrong_line and case.question.confused_with else case.truth.field
    opener = choose(CURT_OPENERS if curt else COURTESIES[case.slices["mood"]], salt, 0, "opener")
    closing = choose(CURT_CLOSINGS if curt else CLOSINGS, salt, 0, "closing")
    decision = GRANT if grant_anyway or case.truth.refund_due else DENIAL
    return f"{opener} Our records show {field} {money(case.ledger_cents[field])}. {decision} {closing}"


def _ledger(index: int, salt: str) -> dict[str, int]:
    """Five different amounts: an answer that names the wrong line must never be right by chance."""
    amounts: dict[str, int] = {}
    for field in FIELDS:
        attempt = 0
        while (cents := int(draw(salt, index, f"{field} {attempt}") * 10_000)) in amounts.values():
            attempt += 1
        amounts[field] = cents
    return amounts


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]
