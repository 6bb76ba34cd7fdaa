"""What the numbers say, in plain words. Every sentence is made from the results; none is there before them.

Two agents are told apart only where their intervals do not overlap. An arm's interval reaches from the lowest to the
highest end over its training seeds, each end being that of the bootstrap interval over that seed's games: cautious, and
honest about training seeds that differ.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

from agents.run import Ledger
from envs.breakout import CLASSIC, STICKY
from evaluation.record import Evaluation, looped
from evaluation.runs import ARMS, SHALLOW, RunResult
from evaluation.statistics import HUMAN_SCORE

FEW_SEEDS, FEW_GAMES = 3, 20


@dataclass(frozen=True)
class Standing:
    """Where one agent stands under one protocol, over its training seeds.

    Attributes:
        means: of each training seed's games, in points.
        interval: from the lowest to the highest end of the seeds' intervals (where games repeat: ranges).
    """

    name: str
    label: str
    means: tuple[float, ...]
    interval: tuple[float, float]
    evaluations: tuple[Evaluation, ...]

    @property
    def mean(self) -> float:
        """Mean over training seeds of the mean over games."""
        return sum(self.means) / len(self.means)

    @property
    def in_words(self) -> str:
        """The mean with its interval."""
        return f"{points(self.mean)} ({points(self.interval[0])} to {points(self.interval[1])})"

    def clear_of(self, other: Standing) -> bool:
        """The two intervals do not overlap."""
        return self.interval[0] > other.interval[1] or self.interval[1] < other.interval[0]


def standings(runs: Sequence[RunResult], protocol: str) -> dict[str, Standing]:
    """Gather the runs of each name that have been judged under `protocol`."""
    found = {}
    for name, group in groupby(runs, key=lambda run: run.name):
        members = list(group)
        judged = [e for e in (run.judged(protocol) for run in members) if e is not None]
        if judged:
            ends = [e.spread for e in judged]
            interval = (min(low for low, _ in ends), max(high for _, high in ends))
            means = tuple(e.summary.mean for e in judged)
            found[name] = Standing(name, members[0].in_prose, means, interval, tuple(judged))
    return found


def reading(runs: Sequence[RunResult]) -> list[str]:
    """Read the results out: one paragraph per matter."""
    by_protocol = {protocol.name: standings(runs, protocol.name) for protocol in (STICKY, CLASSIC)}
    # Sticky games are independent; classic ones only stand in where nobody has played sticky.
    protocol = STICKY.name if any(name in by_protocol[STICKY.name] for name in ARMS) else CLASSIC.name
    here = by_protocol[protocol]
    arms = sorted((here[name] for name in ARMS if name in here), key=lambda s: -s.mean)
    paragraphs = [
        _ranking(arms, protocol),
        _against_random(arms, here.get("random")),
        _landmarks(by_protocol[CLASSIC.name]),
        _costs(runs),
        _controls(here),
        _shallow([standing for name, standing in here.items() if name in SHALLOW]),
        _cautions(arms, by_protocol[CLASSIC.name]),
    ]
    return [paragraph for paragraph in paragraphs if paragraph]


def points(score: float) -> str:
    """Write a score with as many digits as it deserves."""
    return f"{score:.1f}" if abs(score) < 100 else f"{score:.0f}"


def listed(items: Sequence[str]) -> str:
    """Join with commas and a last `and`."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


def _ranking(arms: Sequence[Standing], protocol: str) -> str:
    if not arms:
        return "None of the three ways of learning has been judged yet, so there is nothing to compare."
    first = arms[0]
    if len(arms) == 1:
        return f"Only {first.label} has been judged under {protocol}: it scores {first.in_words}."
    rest = listed([f"{arm.label} with {arm.in_words}" for arm in arms[1:]])
    near = [arm.label for arm in arms[1:] if not first.clear_of(arm)]
    spread = "interval" if all(e.independent for arm in arms for e in arm.evaluations) else "range"
    if round(first.mean, 1) == round(arms[1].mean, 1):
        start = f"Under {protocol}, {first.label} and {arms[1].label} have the same mean: "
        start += f"{first.label} with {first.in_words}, {rest}."
    else:
        start = f"Under {protocol}, {first.label} has the highest mean, {first.in_words}; then {rest}."
    if near:
        return f"{start} The leader's {spread} overlaps that of {listed(near)}: these games do not tell them apart."
    return f"{start} The leader's {spread} lies above {'both others' if len(arms) == 3 else 'the other'}."


def _against_random(arms: Sequence[Standing], random: Standing | None) -> str:
    if not arms:
        return ""
    if random is None:
        return "The random policy has not been judged here, so whether anybody learned anything is left open."

    def better(arm: Standing) -> bool:
        return all(e.spread[0] > random.interval[1] for e in arm.evaluations)

    yes, no = _split(arms, better)
    floor = f"random play, {random.in_words},"
    parts = []
    if yes:
        parts.append(f"{_named(yes)} {_are(yes)} clear of {floor} with every training seed")
    if no:
        parts.append(f"{_named(no)} {_are(no)} not" + ("" if yes else f" clear of {floor} with every training seed"))
    return _sentence("; ".join(parts))


def _landmarks(classic: dict[str, Standing]) -> str:
    arms = sorted((classic[name] for name in ARMS if name in classic), key=lambda s: -s.mean)
    if not arms:
        return ""
    yes, no = _split(arms, lambda arm: arm.mean > HUMAN_SCORE)
    text = f"People score {HUMAN_SCORE} in classic games. "
    if yes:
        text += f"There {_named(yes, with_means=True)} {_are(yes)} above them"
        text += f", {_named(no, with_means=True)} below." if no else "."
    else:
        text += f"There nobody is above them: {_named(no, with_means=True)}."
    past = [arm for arm in arms if any(e.summary.share_past_432 > 0 for e in arm.evaluations)]
    return text + (f" Past the first wall (432) came {_named(past)}, in some games at least." if past else
                   " Nobody came past the first wall (432).")  # fmt: skip


def _costs(runs: Sequence[RunResult]) -> str:
    parts = []
    for name in ARMS:
        ledgers = [run.ledger for run in runs if run.name == name and run.ledger is not None]
        if ledgers:
            parts.append(f"{name}, {cost(mean_ledger(ledgers))}")
    if not parts:
        return ""
    return _sentence(f"what one training run took: {'; '.join(parts)}")


def cost(ledger: Ledger) -> str:
    """Say what a run read and how long it took."""
    labels = f"{ledger.labels:,.0f} labels" if ledger.labels else "no labels"
    rewards = f"{ledger.rewards_read:,.0f} rewards" if ledger.rewards_read else "no rewards"
    return f"{labels}, {rewards}, {ledger.frames:,.0f} frames and {ledger.wall_seconds / 60:.1f} minutes"


def mean_ledger(ledgers: Sequence[Ledger]) -> Ledger:
    """Average over training seeds, counts rounded."""
    totals = {key: sum(getattr(ledger, key) for ledger in ledgers) / len(ledgers) for key in vars(ledgers[0])}
    return Ledger(**{key: value if key.endswith("seconds") else round(value) for key, value in totals.items()})


def _controls(here: dict[str, Standing]) -> str:
    text = []
    learnt, untrained = here.get("unsupervised"), here.get("unsupervised_untrained")
    if learnt and untrained:
        verdict = f"the same planner on an untrained encoder scores {untrained.in_words}: "
        if not learnt.clear_of(untrained):
            verdict += "the intervals overlap, so these games do not show that learning the representation helped"
        elif learnt.mean > untrained.mean:
            verdict += "what the encoder learned without labels is what the planner plays by"
        else:
            verdict += "more than on the encoder that was taught, so what that one learned stands in the way"
        text.append(_sentence(verdict))
    if learnt and (components := here.get("unsupervised_components")):
        text.append(_sentence(f"on the pixels' principal components that planner scores {components.in_words}"))
    text += _deprived(learnt, here)
    teacher, pupil = here.get("demonstrator"), here.get("supervised")
    if teacher and pupil and teacher.mean > 0:
        share = pupil.mean / teacher.mean
        text.append(f"The demonstrator, who reads the game's memory, scores {teacher.in_words}; "
                    f"the agent that learned from its labels reaches {share:.0%} of that.")  # fmt: skip
    return " ".join(text)


def _deprived(learnt: Standing | None, here: dict[str, Standing]) -> list[str]:
    """What the planner scores with something taken from it."""
    controls = [here[name] for name in ("unsupervised_shuffled", "unsupervised_random") if name in here]
    if learnt is None or not controls:
        return []
    scores = listed([f"{control.label} {control.in_words}" for control in controls])
    if all(control.mean < learnt.mean / 2 and learnt.clear_of(control) for control in controls):
        return [_sentence(f"{scores}: it plays by what it counted in its states")]
    return [
        _sentence(f"{scores}: not all below half of its own score, so part of that owes nothing to what it counted")
    ]


def _shallow(learners: Sequence[Standing]) -> str:
    if not learners:
        return ""
    scores = listed([f"{learner.label} {learner.in_words}" for learner in learners])
    return f"What the labels that taught the CNN are worth to others: {scores}."


def _cautions(arms: Sequence[Standing], classic: dict[str, Standing]) -> str:
    text = []
    if arms and min(len(arm.means) for arm in arms) < FEW_SEEDS:
        text.append("Fewer than three training seeds stand behind at least one arm: "
                    "with others, the order of arms that lie close may change.")  # fmt: skip
    if arms and min(len(e.games) for arm in arms for e in arm.evaluations) < FEW_GAMES:
        text.append(f"Fewer than {FEW_GAMES} games were played by at least one of them: its interval is rough.")
    missing = [name for name in ARMS if name not in {arm.name for arm in arms}]
    if arms and missing:
        text.append(
            f"{listed(missing).capitalize()} {'is' if len(missing) == 1 else 'are'} missing from this comparison."
        )
    greedy = [classic[name] for name in ARMS if name in classic]
    repeated = [s for s in greedy if any(e.deterministic for e in s.evaluations)]
    if repeated:
        counts = listed([f"{s.label} {_distinct(s)}" for s in repeated])
        text.append(f"Of a greedy agent's classic games only so many differ: {counts}.")
    circling = [f"{s.label} in {count} of {games}" for s in classic.values() for count, games in [_loops(s)] if count]
    if circling:
        text.append(f"Some classic games end in an endless loop: {listed(circling)}.")
    return " ".join(text)


def _split(arms: Sequence[Standing], test: Callable[[Standing], bool]) -> tuple[list[Standing], list[Standing]]:
    return [arm for arm in arms if test(arm)], [arm for arm in arms if not test(arm)]


def _named(arms: Sequence[Standing], with_means: bool = False) -> str:
    return listed([arm.label + (f" ({points(arm.mean)})" if with_means else "") for arm in arms])


def _are(arms: Sequence[Standing]) -> str:
    return "is" if len(arms) == 1 else "are"


def _distinct(standing: Standing) -> str:
    """The fewest distinct games of any training seed, out of how many."""
    fewest = min(standing.evaluations, key=lambda e: e.summary.distinct_games)
    return f"{fewest.summary.distinct_games} of {len(fewest.games)}"


def _loops(standing: Standing) -> tuple[int, int]:
    games = [game for e in standing.evaluations for game in e.games]
    return sum(looped(game) for game in games), len(games)


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] + "."
