"""Which image comes when: every one once an epoch, the same for any start, process and split."""

from collections import Counter
from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from detection.data.coco import read_coco
from detection.data.order import EvaluationOrder, TrainingOrder, repeat_factors

few = settings(max_examples=40, deadline=None)


def sizes_of(wide: list[bool]) -> np.ndarray:
    return np.array([(60, 80) if w else (80, 60) for w in wide], dtype=np.int32)


@few
@given(st.lists(st.booleans(), min_size=1, max_size=30), st.integers(1, 8), st.booleans(), st.integers(0, 99))
def test_every_image_comes_once_an_epoch_the_rest_is_filler(wide, batch, group, seed):
    order = TrainingOrder(sizes_of(wide), batch, [64], seed, stop=10**6, group_by_aspect=group)
    for epoch in range(2):
        steps = range(epoch * order.steps_per_epoch, (epoch + 1) * order.steps_per_epoch)
        seen = Counter(draw.row for step in steps for draw in order.step(step))
        assert set(seen) == set(range(len(wide)))
        assert sum(seen.values()) - len(wide) < batch


@few
@given(st.lists(st.booleans(), min_size=1, max_size=20), st.integers(0, 12), st.integers(0, 99))
def test_a_run_that_starts_again_draws_what_it_would_have_drawn(wide, start, seed):
    whole = list(TrainingOrder(sizes_of(wide), 3, [64, 96], seed, stop=12))
    assert list(TrainingOrder(sizes_of(wide), 3, [64, 96], seed, stop=12, start=start)) == whole[start:]


@few
@given(st.integers(1, 20), st.sampled_from([1, 2, 4]), st.sampled_from([1, 2, 3]), st.integers(0, 99))
def test_processes_and_splits_share_the_very_batch_of_one_process(images, world, splits, seed):
    sizes = sizes_of([True] * images)
    alone = list(TrainingOrder(sizes, 24, [64, 96], seed, stop=3))
    ranks = [TrainingOrder(sizes, 24, [64, 96], seed, 3, 0, True, r, world, splits) for r in range(world)]
    parts = [list(order) for order in ranks]
    assert all(len(p) == len(order) == 3 * splits for p, order in zip(parts, ranks))
    for step, batch in enumerate(alone):
        shared = [draw for mine in parts for part in mine[step * splits : (step + 1) * splits] for draw in part]
        assert shared == batch


def test_batches_are_all_wide_or_all_tall_save_the_rest_of_an_epoch():
    wide = [i % 3 > 0 for i in range(31)]  # 20 wide, 11 tall: 5 + 2 whole batches, 3 left over
    order = TrainingOrder(sizes_of(wide), 4, [64], seed=0, stop=80)
    assert order.steps_per_epoch == 8
    mixed = [len({wide[draw.row] for draw in order.step(step)}) > 1 for step in range(80)]
    assert sum(mixed) <= 10
    loose = TrainingOrder(sizes_of(wide), 4, [64], seed=0, stop=80, group_by_aspect=False)
    assert sum(len({wide[draw.row] for draw in loose.step(step)}) > 1 for step in range(80)) > 20


def test_a_step_has_one_size_and_other_augmentations_for_each_image_and_epoch():
    order = TrainingOrder(sizes_of([True] * 4), 4, [64, 96], seed=0, stop=50)
    steps = [order.step(i) for i in range(50)]
    assert all(len({draw.short_side for draw in step}) == 1 for step in steps)
    assert {step[0].short_side for step in steps} == {64, 96}
    assert len({draw.seed for step in steps for draw in step}) == 200


@few
@given(st.integers(0, 30), st.integers(1, 4), st.integers(1, 4))
def test_evaluation_sees_every_image_exactly_once_whatever_the_number_of_processes(images, batch, world):
    orders = [EvaluationOrder(images, batch, 64, rank, world) for rank in range(world)]
    rows = [draw.row for order in orders for part in order for draw in part]
    assert sorted(rows) == list(range(images))
    assert [len(list(order)) for order in orders] == [len(order) for order in orders]


@few
@given(
    st.lists(st.tuples(st.booleans(), st.floats(1, 4)), min_size=1, max_size=30), st.integers(1, 8), st.integers(0, 99)
)
def test_repeated_images_come_as_often_as_their_factors_say(images, batch, seed):
    repeats = np.array([factor for _, factor in images])
    order = TrainingOrder(sizes_of([w for w, _ in images]), batch, [64], seed, stop=10**6, repeats=repeats)
    epochs, total = 40, Counter()
    for epoch in range(epochs):
        steps = range(epoch * order.steps_per_epoch, (epoch + 1) * order.steps_per_epoch)
        seen = Counter(draw.row for step in steps for draw in order.step(step))
        assert all(seen[row] >= int(factor) for row, factor in enumerate(repeats))
        assert 0 <= sum(seen.values()) - order.draws < batch and order.draws == int(np.ceil(repeats.sum()))
        total += seen
    filled = order.steps_per_epoch * batch - repeats.sum()  # what fills the last batch and the whole number of draws
    for row, factor in enumerate(repeats):
        assert factor - 0.4 <= total[row] / epochs <= factor + filled + 0.4
    whole = [order.step(step) for step in range(12)]
    again = TrainingOrder(sizes_of([w for w, _ in images]), batch, [64], seed, stop=12, start=5, repeats=repeats)
    assert list(again) == whole[5:]


def test_repeat_factors_worked_out_by_hand(shapes):
    """Of ten images class 0 is in all, 1 in four, 2 in one: with a threshold of .4 the last comes twice as often."""
    index = read_coco(shapes / "annotations" / "instances_train.json", shapes / "train")
    labels = [[0], [0], [0, 1], [0, 1], [0, 1], [0, 1, 1, 2], [], [0], [0], [0]]
    count = sum(map(len, labels))
    zeros, none = np.zeros(count), np.zeros(count, dtype=bool)
    index = replace(
        index,
        **{
            key: np.resize(getattr(index, key), (10, *getattr(index, key).shape[1:])) for key in ("sizes", "file_names")
        },
        image_ids=np.arange(10),
        offsets=np.cumsum([0, *map(len, labels)]),
        labels=np.array([label for each in labels for label in each]),
        xywh=np.zeros((count, 4)),
        areas=zeros,
        annotation_ids=np.arange(count),
        crowd=none,
        difficult=none,
    )
    assert repeat_factors(index, 0.4).tolist() == [1, 1, 1, 1, 1, 2, 1, 1, 1, 1]
    assert repeat_factors(index, 0.9)[[0, 2, 5]].tolist() == [1, 1.5, 3]
