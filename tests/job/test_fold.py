import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from safetensors.torch import load
from torch import nn

from job.contract import layout
from job.contract.errors import DataError, Stopped, StudyError
from job.contract.grid import Fold
from job.contract.randomness import Stream
from job.data.store import open_exams
from job.fold import Worker, load_batches, run_fold, stream_of
from job.networks.build import initial_network
from job.networks.design import design_of
from job.run import Run
from job.storage.local import LocalStorage
from job.training.batches import PatchBatches
from job.training.clock import PhaseClock
from tests.conftest import TinyRun
from tests.job.folds import result, same_but_cost

CPU = torch.device("cpu")


def worker(tiny: TinyRun, stop: Any = lambda: False) -> Worker:
    return Worker(
        run=tiny.run, store=tiny.store, device=CPU, threads=1, checkpoint_seconds=300, stop_requested=stop
    )


def batches_of(tiny: TinyRun, fold: Fold) -> PatchBatches:
    readers = open_exams(tiny.store, tiny.manifest, fold.training_exams)
    return load_batches(tiny.study, fold, readers, design_of(tiny.study).training_window(), CPU)


def network_of(tiny: TinyRun, channels: tuple[int, ...], *, repeat: int = 0, unit: int = 0) -> nn.Module:
    return initial_network(
        tiny.study, design_of(tiny.study), channels, Stream(tiny.study.sweep.seed, repeat, unit)
    )


def stop_after(steps: int) -> Any:
    """Asks to stop at the n-th time of asking."""
    asked = 0

    def stop() -> bool:
        nonlocal asked
        asked += 1
        return asked > steps

    return stop


def test_a_fold_leaves_result_prediction_weights_and_history(make_tiny_run: Any) -> None:
    tiny = make_tiny_run()
    run_fold(worker(tiny), 1)
    done = result(tiny, 1)
    assert (done.arm, done.left_out, done.unit, done.steps) == ("without t2", ("t2",), 0, 24)
    assert done.exams[0].exam == tiny.manifest.exams[0].exam
    assert set(done.exams[0].scores) == {"GTV-T", "GTV-Ln", "union"}
    assert done.cost.attempts == 1
    assert done.cost.seconds.keys() >= {
        "load",
        "sample",
        "augment",
        "forward",
        "backward",
        "optimiser",
        "idle",
    }
    history = [json.loads(line) for line in tiny.run.files.read(layout.history(1)).decode().splitlines()]
    assert [line["step"] for line in history] == list(range(1, 25))
    heartbeat = tiny.run.fold(1).heartbeat.read()
    assert heartbeat is not None
    assert (heartbeat.phase, heartbeat.step) == ("done", 24)
    assert not list(tiny.run.files.list(layout.checkpoints(1)))


def test_the_prediction_lies_on_the_original_grid(make_tiny_run: Any, tiny_cohort: Path) -> None:
    tiny = make_tiny_run()
    run_fold(worker(tiny), 0)
    original = nib.load(tiny_cohort / "cohort/patient-01/visit-1/label.nii.gz")
    prediction = nib.load(tiny.folder / "folds/0/prediction.nii.gz")
    assert prediction.shape == original.shape
    np.testing.assert_array_equal(prediction.affine, original.affine)
    assert prediction.header["xyzt_units"] == original.header["xyzt_units"]
    label, predicted = (np.asarray(image.dataobj).astype(int) for image in (original, prediction))
    overlap = 2 * ((label == 1) & (predicted == 1)).sum() / ((label == 1).sum() + (predicted == 1).sum())
    assert result(tiny, 0).exams[0].scores["GTV-T"].values["dice"] == pytest.approx(overlap)


def test_predictions_carry_the_label_values_of_the_cohort(make_tiny_run: Any) -> None:
    tiny = make_tiny_run(cohort={"classes": {"tumour": [2, 1]}}, sweep={"endpoint": {"class": "tumour"}})
    run_fold(worker(tiny), 0)
    values = np.unique(np.asarray(nib.load(tiny.folder / "folds/0/prediction.nii.gz").dataobj))
    assert set(values.tolist()) <= {0, 2}
    assert 2 in values


def test_the_same_fold_twice_is_identical_byte_for_byte(make_tiny_run: Any) -> None:
    one, other = make_tiny_run("one"), make_tiny_run("other")
    run_fold(worker(one), 0)
    torch.manual_seed(1)
    np.random.seed(1)  # the state of global generators must not matter
    random.seed(1)
    run_fold(worker(other), 0)
    same_but_cost(one, other, 0)


@pytest.mark.parametrize(
    "training",
    [
        {"optimiser": "rmsprop"},
        {"optimiser": "adamw", "validation_patients": 1, "validate_every": 5},
        {"optimiser": "sgd", "loss": "dice-cross-entropy", "precision": "bf16"},
    ],
    ids=lambda training: training["optimiser"],
)
def test_a_fold_stopped_again_and_again_ends_bit_for_bit_as_one_that_was_not(
    make_tiny_run: Any, training: dict[str, Any]
) -> None:
    whole, stopped = make_tiny_run("whole", training=training), make_tiny_run("stopped", training=training)
    run_fold(worker(whole), 0)
    for attempt in range(30):
        try:
            run_fold(worker(stopped, stop_after(50 if "validate_every" in training else 15)), 0)
            break
        except Stopped:
            assert attempt < 29
    run_fold(worker(stopped), 0)
    same_but_cost(whole, stopped, 0)
    assert result(stopped, 0).cost.attempts >= 2
    assert result(stopped, 0).cost.lost_steps == 0


def test_a_done_fold_is_left_alone(make_tiny_run: Any) -> None:
    tiny = make_tiny_run()
    run_fold(worker(tiny), 0)
    before = {item.key: item.fingerprint for item in tiny.run.files.list()}
    run_fold(worker(tiny), 0)
    assert {item.key: item.fingerprint for item in tiny.run.files.list()} == before


def test_checkpoints_that_a_killed_worker_left_beside_its_result_are_cleared_away(make_tiny_run: Any) -> None:
    tiny = make_tiny_run(training={"steps": 1})
    run_fold(worker(tiny), 0)
    tiny.run.files.write(f"{layout.checkpoints(0)}/1.pt", b"left")
    run_fold(worker(tiny), 0)
    assert not list(tiny.run.files.list(layout.checkpoints(0)))


def test_checkpoints_stay_until_the_result_is_written(make_tiny_run: Any) -> None:
    class Full(LocalStorage):
        def create(self, key: str, data: bytes) -> bool:
            raise OSError(f"No space left on device: {key}")

    tiny = make_tiny_run(training={"steps": 1})
    with pytest.raises(OSError, match=r"folds/0/result\.json"):
        run_fold(replace(worker(tiny), run=Run(Full(tiny.folder))), 0)
    assert list(tiny.run.files.list(layout.checkpoints(0)))


def test_a_result_that_another_worker_wrote_meanwhile_stays(make_tiny_run: Any) -> None:
    """As a worker does that was taken for dead: what stands beside it may have been read already."""
    tiny = make_tiny_run(training={"steps": 1})

    def stop() -> bool:
        tiny.run.files.write(layout.result(0), b"the other's")
        return False

    run_fold(worker(tiny, stop), 0)
    assert tiny.run.files.read(layout.result(0)) == b"the other's"


def test_a_fold_of_a_patient_tests_all_visits(make_tiny_run: Any) -> None:
    tiny = make_tiny_run(sweep={"test_unit": "patient"})
    unit = next(u for u, exams in enumerate(tiny.manifest.grid.units) if len(exams) > 1)
    index = unit * len(tiny.manifest.arms)
    run_fold(worker(tiny), index)
    done = result(tiny, index)
    assert len(done.exams) == 2
    assert len({exam.patient for exam in done.exams}) == 1
    for key in layout.predictions(index, 2):
        assert tiny.run.files.exists(key)


def test_a_fold_reads_the_exams_for_training_then_those_for_validation_and_its_test_exam_last(
    make_tiny_run: Any,
) -> None:
    read: list[str] = []

    class Watched(LocalStorage):
        def array_location(self, key: str) -> Any:
            read.append(key)
            return super().array_location(key)

    tiny = make_tiny_run(training={"steps": 2, "validation_patients": 1, "validate_every": 1})
    fold = tiny.manifest.grid.fold(0)
    run_fold(replace(worker(tiny), store=Watched(tiny.store.root)), 0)
    names = [exam.exam for exam in tiny.manifest.exams]
    order = [n for key in read for n, name in enumerate(names) if f"/{name}." in key]
    assert tuple(dict.fromkeys(order)) == fold.training_exams + fold.validation_exams + fold.test_exams

    read.clear()
    again = make_tiny_run("again", training={"steps": 2, "validation_patients": 1})
    with pytest.raises(Stopped):
        run_fold(replace(worker(again, stop_after(0)), store=Watched(tiny.store.root)), 0)
    trained_on = {n for key in read for n, name in enumerate(names) if f"/{name}." in key}
    assert trained_on == set(fold.training_exams)  # before the first step, all that it trains on
    assert result(tiny, 0).training_exams == fold.training_exams
    assert result(tiny, 0).validation_exams == fold.validation_exams


def test_repeats_differ_in_first_weights_patches_and_dropout(make_tiny_run: Any) -> None:
    """A step at hardly any learning rate leaves the first weights as they were."""
    training = {"steps": 1, "learning_rate": 1e-12}
    tiny = make_tiny_run(sweep={"repeats": 2}, training=training)
    first = len(tiny.manifest.arms) + 1
    index = first + tiny.manifest.folds // 2
    folds = [tiny.manifest.grid.fold(n) for n in (first, index)]
    assert [(fold.repeat, fold.unit, fold.arm.name) for fold in folds] == [
        (repeat, 1, "without t2") for repeat in (0, 1)
    ]
    run_fold(worker(tiny), index)
    weights = load(tiny.run.files.read(layout.weights(index)))
    for repeat, equal in ((0, False), (1, True)):
        network = network_of(tiny, folds[0].arm.channels, repeat=repeat, unit=1)
        assert all(torch.allclose(w, weights[name]) for name, w in network.named_parameters()) == equal

    batches: list[torch.Tensor] = []
    for fold in folds:
        batches.append(batches_of(tiny, fold).batch(0, PhaseClock(CPU)).image_BCZYX)
        assert stream_of(tiny.study, fold) == (tiny.study.sweep.seed, fold.repeat, fold.unit)
    assert not torch.equal(*batches)


def test_patches_have_the_shape_of_the_study(make_tiny_run: Any) -> None:
    """In the study file along (x, y, z); what is predicted lies within, as the design says."""
    training = {"segment_shape": None, "patch_shape": [31, 27, 9]}
    tiny = make_tiny_run(training=training)
    fold = tiny.manifest.grid.fold(0)
    window = design_of(tiny.study).training_window()
    assert window.input_zyx == (9, 27, 31)
    batch = batches_of(tiny, fold).batch(0, PhaseClock(CPU))
    assert batch.image_BCZYX.shape[2:] == (9, 27, 31)
    assert batch.label_BZYX.shape[1:] == batch.output_zyx == window.output_zyx


def test_all_arms_of_an_exam_see_the_same_patches_of_the_same_exams(make_tiny_run: Any) -> None:
    tiny = make_tiny_run()
    grid = tiny.manifest.grid
    arms = [grid.fold(len(grid.arms) + arm) for arm in range(len(grid.arms))]
    sources = [batches_of(tiny, fold) for fold in arms]
    for step in (0, 5):
        batches = [source.batch(step, PhaseClock(CPU)) for source in sources]
        images, labels = [each.image_BCZYX for each in batches], [each.label_BZYX for each in batches]
        for fold, image_BCZYX, label_BZYX in zip(arms, images, labels, strict=True):
            assert torch.equal(image_BCZYX, images[0][:, list(fold.arm.channels)])
            assert torch.equal(label_BZYX, labels[0])


def test_dropout_is_the_same_in_all_arms(make_tiny_run: Any) -> None:
    """Seeded by step, its masks depend on the shape of the feature maps, which the input channels do not change."""
    tiny = make_tiny_run()
    masks = []
    for channels in ((0, 1, 2, 3), (1, 3)):
        network = network_of(tiny, channels)
        seen: list[torch.Tensor] = []
        dropout = [m for m in network.modules() if isinstance(m, torch.nn.Dropout) and m.p > 0]
        for module in dropout:
            module.register_forward_hook(lambda m, i, o, seen=seen: seen.append((o == 0) & (i[0] != 0)))
        torch.manual_seed(3)
        network(torch.randn(2, len(channels), 9, 20, 20, generator=torch.Generator().manual_seed(0)))
        masks.append(seen)
    assert len(masks[0]) == len(masks[1]) == 1
    both = [a & b for a, b in zip(*masks, strict=True)]
    # Activations that happen to be exactly 0 aside, the same elements are dropped.
    assert both[0].sum() > 0.99 * masks[0][0].sum()


def test_a_fold_outside_the_grid_names_the_grid(make_tiny_run: Any) -> None:
    tiny = make_tiny_run()
    with pytest.raises(StudyError, match=r"fold 20 is outside 0\.\.19 \(5 arms x 4 exams"):
        run_fold(worker(tiny), 20)


def test_a_store_without_the_run_s_exams_is_refused(make_tiny_run: Any, tmp_path: Path) -> None:
    tiny = make_tiny_run()
    elsewhere = Worker(
        run=tiny.run,
        store=type(tiny.store)(tmp_path / "empty"),
        device=CPU,
        threads=1,
        checkpoint_seconds=300,
        stop_requested=lambda: False,
    )
    with pytest.raises(DataError, match="submit prepare"):
        run_fold(elsewhere, 0)


def test_a_folder_that_is_no_run_is_refused(make_tiny_run: Any, tmp_path: Path) -> None:
    tiny = make_tiny_run()
    nowhere = Worker(
        run=Run(LocalStorage(tmp_path / "x")),
        store=tiny.store,
        device=CPU,
        threads=1,
        checkpoint_seconds=300,
        stop_requested=lambda: False,
    )
    with pytest.raises(StudyError, match=r"no manifest\.json"):
        run_fold(nowhere, 0)
