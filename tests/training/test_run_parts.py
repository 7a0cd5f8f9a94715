"""The parts that need no model: checkpoints, metrics, the guard, the run's directory, signals."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.training_runs import toy_config
from transformers import get_scheduler

from parrot_adapters.atomic_files import appearing_directory
from parrot_adapters.core.routing_record import RoutingRecord
from parrot_adapters.errors import ConfigError, TrainingError
from parrot_adapters.training.engines import training_arguments
from parrot_adapters.training.loss_guard import MARGIN, PATIENCE, WARM_UP, LossGuard
from parrot_adapters.training.metrics import Measured, MetricsFile
from parrot_adapters.training.run_directory import RunDirectory
from parrot_adapters.training.stop_signals import stop_requests
from parrot_adapters.training.whole_checkpoints import Checkpoints
from parrot_adapters.training.zero_gradients import STEPS, UNSEEN, ZeroGradients


class Killed(BaseException):
    """Stands for the end of the process."""


# --- checkpoints -----------------------------------------------------------------------------------------------------


def write(checkpoints: Checkpoints, step: int, text: str = "x") -> None:
    with checkpoints.writing(step) as directory:
        (directory / "weights").write_text(text)
        (directory / "inner").mkdir()
        (directory / "inner" / "more").write_text(text)


def fail_in(directory, error: BaseException) -> None:
    (directory / "half").write_text("half")
    raise error


def test_newest_checkpoints_stay(tmp_path):
    checkpoints = Checkpoints(tmp_path / "c", keep=2)
    assert checkpoints.newest() is None
    for step in (3, 6, 9):
        write(checkpoints, step)
    assert checkpoints.steps() == [6, 9]
    assert checkpoints.newest() == 9
    assert (checkpoints.path(9) / "inner" / "more").read_text() == "x"


@pytest.mark.parametrize("error", [Killed(), OSError(28, "No space left on device")])
def test_what_fails_while_it_is_written_leaves_the_others(tmp_path, error):
    checkpoints = Checkpoints(tmp_path, keep=1)
    write(checkpoints, 3)
    with pytest.raises(type(error)), checkpoints.writing(6) as directory:
        fail_in(directory, error)
    assert checkpoints.steps() == [3]
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000003"]


def test_incomplete_ones_are_never_resumed_from_and_removed(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=5)
    for step in (1, 2, 3, 4):
        write(checkpoints, step)
    (checkpoints.path(4) / "weights").write_text("")  # copied in part
    (checkpoints.path(3) / "inner" / "more").unlink()
    (checkpoints.path(2) / "manifest.json").write_text("{")
    checkpoints.pending(5).mkdir()
    (tmp_path / "notes").mkdir()
    assert checkpoints.newest() == 1
    assert len(checkpoints.clean()) == 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes", "step-00000001"]


def test_a_directory_is_replaced_as_a_whole(tmp_path):
    target = tmp_path / "host"
    for text in ("old", "new"):
        with appearing_directory(target) as directory:
            (directory / f"{text}.txt").write_text(text)
    assert [path.name for path in target.iterdir()] == ["new.txt"]
    with pytest.raises(Killed), appearing_directory(target) as directory:
        fail_in(directory, Killed())
    assert [path.name for path in tmp_path.iterdir()] == ["host"]
    assert [path.name for path in target.iterdir()] == ["new.txt"]


# --- metrics ---------------------------------------------------------------------------------------------------------


def test_lines_beyond_a_step_are_dropped(tmp_path):
    file = MetricsFile(tmp_path / "m.jsonl")
    file.go_back_to(3)  # nothing there yet
    for step in (2, 4, 6):
        file.append({"step": step, "loss": 1.0})
    with file.path.open("ab") as raw:
        raw.write(b'{"step": 4, "lo')  # cut short
    file.go_back_to(4)
    assert [line["step"] for line in file.lines()] == [2, 4]
    file.append({"step": 6, "loss": 0.5})
    assert [line["step"] for line in file.lines()] == [2, 4, 6]


def test_a_number_that_is_none_is_never_written(tmp_path):
    with pytest.raises(ValueError, match="Out of range"):
        MetricsFile(tmp_path / "m.jsonl").append({"step": 1, "loss": math.nan})


@given(st.lists(st.tuples(st.floats(0, 10), st.integers(1, 50), st.sampled_from(["en", "tr", None])), min_size=1))
@settings(deadline=None)
def test_means_are_over_tokens_however_the_sums_are_shared_out(micro_batches):
    """One process or three measure the same; and a sample counts by its tokens."""
    alone, shared = Measured(), [Measured(), Measured(), Measured()]
    for number, (loss, learned, language) in enumerate(micro_batches):
        for measured in (alone, shared[number % 3]):
            measured.add_losses({"language_model": loss, "load-balancing": 0.5}, learned, learned + 7)
            measured.add_language(language, loss * learned, learned)
    tokens = sum(learned for _, learned, _ in micro_batches)
    expected = sum(loss * learned for loss, learned, _ in micro_batches) / tokens + 0.5
    for measured in (alone, Measured.together(shared)):
        summary = measured.summary()
        assert summary["loss"] == pytest.approx(expected)
        assert summary["losses"]["load-balancing"] == pytest.approx(0.5)
        assert measured.read == tokens + 7 * len(micro_batches)
        assert set(summary.get("languages", {})) - {"unknown"} == {x for *_, x in micro_batches} - {None}


def test_padding_with_and_without_packing():
    measured = Measured()
    measured.add_losses({"language_model": 1.0}, learned=4, read=30, positions=40, unpacked=120)
    assert measured.padding() == {"padding": 0.25, "padding_unpacked": 0.75}
    together = Measured.together([measured, measured])
    assert together.padding() == measured.padding()
    unpacked = Measured()
    unpacked.add_losses({"language_model": 1.0}, learned=4, read=30, positions=40, unpacked=40)
    assert unpacked.padding() == {"padding": 0.25}


def test_processes_add_up_what_routers_did():
    shared = []
    for abstained in ([True, False], [False, False], [True, True]):
        weights = torch.eye(2)
        routed = RoutingRecord(weights, weights, torch.arange(2), torch.arange(3), "item", languages=("en", "tr"))
        shared.append(Measured())
        shared[-1].routing.add(replace(routed, abstain=torch.tensor(abstained)))
    total = Measured.together(shared).routing.statistics()
    assert (total.decisions, total.abstained, total.counts) == (3, 3, {"tr": 2, "en": 1})


# --- the schedule ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schedule", "falls"),
    [
        ("constant", lambda step: 1.0),
        ("linear", lambda step: (10 - step) / 7),
        ("cosine", lambda step: (1 + math.cos(math.pi * (step - 3) / 7)) / 2),
    ],
)
def test_rates_rise_over_the_warm_up_and_fall_as_the_schedule_says(schedule, falls, tmp_path):
    config = toy_config("unused", optim__schedule=schedule, optim__warmup_ratio=0.25)
    told = training_arguments(config, directory=tmp_path, steps=10, accumulation=2, layers=(), deepspeed=None)
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    warm_up = told.get_warmup_steps(10)
    scheduler = get_scheduler(told.lr_scheduler_type, optimizer, num_warmup_steps=warm_up, num_training_steps=10)
    rates = []
    for _ in range(10):
        rates.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    expected = [step / 3 if step < 3 else falls(step) for step in range(10)]  # a quarter of ten, rounded up
    assert rates == pytest.approx(expected)


# --- the guard -------------------------------------------------------------------------------------------------------


def verdicts(losses: list[float], guard: LossGuard | None = None) -> list[str | None]:
    guard = guard or LossGuard()
    return [guard.verdict(loss, 1.0) for loss in losses]


@pytest.mark.parametrize(("loss", "norm"), [(math.nan, 1.0), (math.inf, 1.0), (1.0, math.nan), (1.0, math.inf)])
def test_what_is_no_number_stops_at_once(loss, norm):
    assert LossGuard().verdict(loss, norm)


def test_an_exploded_loss_stops_and_a_spike_does_not():
    usual = [2.0 + 0.1 * math.sin(n) for n in range(60)]
    assert not any(verdicts([*usual, *[9.0] * (PATIENCE - 1), *usual]))
    found = verdicts([*usual, *[9.0] * PATIENCE])
    assert found[-1] is not None
    assert "usually 2" in found[-1]
    assert not any(found[:-1])


@given(st.lists(st.floats(0.0, 12.0), min_size=1, max_size=80))
def test_losses_near_each_other_never_stop(losses):
    """Within a factor of two, or within the margin, nothing is wrong."""
    lowest = min(losses)
    assert not any(verdicts([min(loss, max(2 * lowest, lowest + MARGIN)) for loss in losses]))


@pytest.mark.parametrize(("usual", "now"), [(0.1, 2.0), (8.0, 15.0)], ids=["within the margin", "within twice"])
def test_a_loss_is_high_by_factor_and_by_margin(usual, now):
    assert not any(verdicts([*[usual] * WARM_UP, *[now] * 3 * PATIENCE]))


def test_what_is_high_is_never_usual():
    """Nine high losses of ten, over and over: they would be the median of all losses, not of the usual ones."""
    spikes = [*[9.0] * (PATIENCE - 1), 2.0] * 6
    assert not any(verdicts([*[2.0] * WARM_UP, *spikes]))
    assert verdicts([*[2.0] * WARM_UP, *spikes, *[9.0] * PATIENCE])[-1] is not None


def test_the_beginning_of_a_run_is_not_judged():
    assert not any(verdicts([*[1.0] * (WARM_UP - 1), *[50.0] * 5]))
    early = [*[1.0] * (WARM_UP - PATIENCE - 2), *[50.0] * (PATIENCE + 1)]
    assert len(early) < WARM_UP
    assert not any(verdicts(early))


def test_a_resumed_guard_says_what_an_uninterrupted_one_says():
    losses = [*[1.0] * 40, *[8.0] * PATIENCE]
    whole = verdicts(losses)
    for cut in (10, 45, 49):
        first, second = LossGuard(), LossGuard()
        before = verdicts(losses[:cut], first)
        second.load_state_dict(json.loads(json.dumps(first.state_dict())))
        assert before + verdicts(losses[cut:], second) == whole


def unmoved(steps: list[tuple[float, bool]], last: int = 10**6, each: int = 8) -> int | None:
    """The step, from one, at which a run with these gradient norms, with pictures or without, is stopped."""
    watch = ZeroGradients()
    for step, (norm, pictured) in enumerate(steps, start=1):
        if step % 3 == 0:  # it is interrupted, and goes on
            state, watch = json.loads(json.dumps(watch.state_dict())), ZeroGradients()
            watch.load_state_dict(state)
        if watch.verdict(norm, samples=each, pictured=pictured, last=step == last):
            return step
    return None


def test_zero_gradients_stop_a_run_that_never_had_another():
    assert unmoved([(0.0, True)] * 30) == STEPS
    assert unmoved([(0.0, False)] * 4 + [(0.0, True)] * 30) == 4 + STEPS
    assert unmoved([(0.0, False)] * 200) == UNSEEN // 8
    assert unmoved([(0.0, False)] * 200, last=5) == 5
    assert unmoved([(0.0, True)] * 30, each=UNSEEN) == STEPS
    assert unmoved([(0.0, True)] * (STEPS - 1) + [(1e-12, True)] + [(0.0, True)] * 30) is None
    assert unmoved([(1e-12, False)] + [(0.0, False)] * 30, last=5) is None
    old = ZeroGradients()
    old.load_state_dict(None)  # from a checkpoint of an earlier release
    assert old.verdict(0.0, samples=8, pictured=True, last=True) is None


# --- the run's directory ---------------------------------------------------------------------------------------------


def test_another_configuration_is_refused_by_key(tmp_path):
    config = toy_config(tmp_path)
    directory = RunDirectory(config)
    directory.begin()
    write(directory.checkpoints, 3)
    directory.release()
    write(directory.checkpoints, 3)
    for harmless in (replace(config, steps=99), replace(config, log=replace(config.log, every=9))):
        RunDirectory(harmless).require_same_run()
    changed = toy_config(tmp_path, seed=1, optim__learning_rate=3e-4)
    with pytest.raises(ConfigError, match=r"(?s)seed: was 0, is 1.*optim.learning_rate: was 0.01, is 0.0003.*--fresh"):
        RunDirectory(changed).require_same_run()


def test_where_nothing_came_of_it_another_configuration_may_begin(tmp_path):
    """A setting that is refused once the host is loaded can be mended without --fresh."""
    for seed in (0, 1):
        directory = RunDirectory(toy_config(tmp_path, seed=seed))
        directory.require_same_run()
        directory.begin()
        directory.release()
    assert "seed: 1" in (tmp_path / "config.yaml").read_text("utf-8")
    directory.adapter.mkdir()
    with pytest.raises(ConfigError, match="seed: was 1, is 0"):
        RunDirectory(toy_config(tmp_path)).require_same_run()


def test_checkpoints_of_nobody_knows_which_run_are_refused(tmp_path):
    directory = RunDirectory(toy_config(tmp_path))
    write(directory.checkpoints, 3)
    with pytest.raises(ConfigError, match=r"no config\.yaml"):
        directory.require_same_run()


def test_one_run_at_a_time(tmp_path):
    holder = (
        "import fcntl, sys; file = open(sys.argv[1], 'w'); fcntl.lockf(file, fcntl.LOCK_EX);"
        "print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", holder, str(tmp_path / ".lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(TrainingError, match="another process"):
            RunDirectory(toy_config(tmp_path)).begin()
        other.stdin.close()
    directory = RunDirectory(toy_config(tmp_path))
    directory.begin()
    RunDirectory(toy_config(tmp_path)).begin()  # the same process again: prepare_run before train
    directory.release()


def test_fresh_removes_what_a_run_wrote_and_nothing_else(tmp_path):
    directory = RunDirectory(toy_config(tmp_path))
    directory.begin()
    directory.finish(5)
    write(directory.checkpoints, 3)
    (tmp_path / "notes.txt").write_text("mine")
    directory.release()
    assert directory.finished() == 5
    directory.begin(fresh=True)
    directory.release()
    assert directory.finished() is None
    assert directory.checkpoints.newest() is None
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_directory_that_cannot_be_written_is_an_error_of_ours(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(TrainingError, match="cannot be written"):
        RunDirectory(toy_config(tmp_path / "file" / "run")).begin()


# --- signals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_asks_and_handlers_come_back(number):
    before = signal.getsignal(number)
    with stop_requests() as stop:
        assert not stop.signal
        os.kill(os.getpid(), number)
        assert stop.signal == number
    assert signal.getsignal(number) is before


def test_a_second_interrupt_stops_at_once():
    with stop_requests() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            stop.ask(signal.SIGINT, None)


def test_a_second_word_from_the_scheduler_only_asks_again():
    with stop_requests() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.signal == signal.SIGTERM


def test_a_terminated_run_does_not_mistake_an_interrupt_for_the_second():
    with stop_requests() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.signal == signal.SIGINT


def test_toy_data_is_not_degenerate():
    from support.training_runs import ToyData

    data = ToyData()
    assert len({sample.answer for sample in data.samples}) > 8
    assert data.batches(4, 0) != data.batches(4, 1)
    assert torch.tensor(sorted(i for b in data.batches(4, 0) for i in b)).equal(torch.arange(len(data)))
