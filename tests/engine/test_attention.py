"""The last attention folded into two sums gives what the whole head gives, and is left alone where it must be."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ddcam.engine.graph.attention import find_attention
from ddcam.engine.head import random_masks
from ddcam.engine.model import Model

TOKENS, WIDTH, HEADS, CLASSES = 16, 8, 2, 5
EACH = WIDTH // HEADS


class Block:
    """A transformer's last block behind the tensor `features`; how attention is written is chosen by its parts."""

    def __init__(self, draft: Any, parameters: int = 1) -> None:
        self.draft, self.count = draft, TOKENS + parameters
        maps = draft.conv(draft.picture(), 3, WIDTH, 4, strides=[4, 4], pads=[0, 0, 0, 0])
        tokens = draft.add("Transpose", draft.reshape(maps, [WIDTH, TOKENS]), perm=[0, 2, 1])
        x = draft.add("Concat", [draft.repeated(draft.weight(1, parameters, WIDTH)), tokens], axis=1)
        self.x = draft.add("Tanh", draft.project(x, WIDTH, WIDTH), "features")
        self.normed = draft.norm(self.x, WIDTH, 3)

    # ----- queries, keys and values, [N, T, D] each -----

    def three_products(self) -> list[str]:
        return [self.draft.project(self.normed, WIDTH, WIDTH) for _ in range(3)]

    def one_product_split(self) -> list[str]:
        draft, names = self.draft, ["query", "key", "value"]
        together = draft.project(self.normed, WIDTH, 3 * WIDTH)
        sizes = [draft.constant(np.array([WIDTH] * 3))] if draft.opset >= 13 else []
        attributes = {} if sizes else {"split": [WIDTH] * 3}
        draft.add("Split", [together, *sizes], "query", axis=2, **attributes)
        draft.nodes[-1].output[:] = names
        return names

    def one_product_gathered(self) -> list[str]:
        """Turn them to `[3, N, h, T, d]` and take them apart by index, as timm's models are exported."""
        draft = self.draft
        together = draft.project(self.normed, WIDTH, 3 * WIDTH)
        five = draft.reshape(together, [self.count, 3, HEADS, EACH])
        turned = draft.add("Transpose", five, perm=[2, 0, 3, 1, 4])
        return [draft.add("Gather", [turned, draft.constant(np.array(i))], axis=0) for i in range(3)]

    def by_head(self, part: str) -> str:
        return self.draft.add("Transpose", self.draft.reshape(part, [self.count, HEADS, EACH]), perm=[0, 2, 1, 3])

    # ----- attention -----

    def attend(self, query: str, key: str, value: str, *, scale: str = "after", bias: float = 0.0) -> str:
        """Return `softmax(q k^T / sqrt(d) + bias) v`, for `[N, h, T, d]` or, the heads in the batch, `[h, T, d]`."""
        draft, merged = self.draft, self.merged
        last = [0, 2, 1] if merged else [0, 1, 3, 2]
        factor = draft.constant(EACH**-0.5)
        if scale == "query":
            query = draft.add("Mul", [query, factor])
        turned = draft.add("Transpose", key, perm=last)
        if scale == "key":
            turned = draft.add("Mul", [turned, factor])
        scores = draft.add("MatMul", [query, turned])
        if scale == "after":
            scores = draft.add("Div", [scores, draft.constant(EACH**0.5)])
        if bias:
            sizes = (self.count, self.count) if merged else (1, HEADS, self.count, self.count)
            scores = draft.add("Add", [scores, draft.constant(bias * draft.random.normal(size=sizes))])
        weights = draft.add("Softmax", scores, axis=2 if merged else 3)
        return draft.add("MatMul", [draft.add("Identity", weights), value])

    merged = False

    def heads_joined(self, mixed: str) -> str:
        """Return `[N, T, D]` from `[N, h, T, d]` or `[h, T, d]`."""
        draft = self.draft
        if self.merged:
            turned = draft.add("Transpose", mixed, perm=[1, 0, 2])
            shape = draft.constant(np.array([1, self.count, WIDTH]))
            return draft.add("Reshape", [turned, shape])
        return draft.reshape(draft.add("Transpose", mixed, perm=[0, 2, 1, 3]), [self.count, WIDTH])

    def rest(self, mixed: str) -> str:
        """Add the skip connection and the perceptron: tokens `[N, T, D]` before the last norm."""
        draft = self.draft
        x = draft.add("Add", [self.x, draft.project(self.heads_joined(mixed), WIDTH, WIDTH)])
        y = draft.gelu(draft.project(draft.norm(x, WIDTH, 3), WIDTH, 2 * WIDTH))
        return draft.add("Add", [x, draft.project(y, 2 * WIDTH, WIDTH)])

    def block(self, *, parts: str = "three_products", **writing: Any) -> str:
        query, key, value = getattr(self, parts)()
        if parts != "one_product_gathered":
            query, key, value = (self.by_head(part) for part in (query, key, value))
        return self.rest(self.attend(query, key, value, **writing))

    # ----- the end -----

    def picked(self, x: str, row: int = 0) -> str:
        return self.draft.add("Gather", [x, self.draft.constant(np.array(row))], axis=1)

    def sliced(self, x: str, *numbers: int) -> str:
        """Take rows `start:end[:step]` along axis 1."""
        start, end, *step = numbers
        given = [self.draft.constant(np.array([value])) for value in (start, end, 1, *step)]
        return self.draft.add("Slice", [x, *given])

    def classify(self, row: str, name: str = "logits") -> str:
        return self.draft.dense(row, WIDTH, CLASSES, name)


Draw = Callable[[Block], object]


def class_token(**writing: Any) -> Draw:
    def draw(b: Block) -> None:
        b.classify(b.picked(b.draft.norm(b.block(**writing), WIDTH, 3)))

    return draw


def heads_in_the_batch(b: Block) -> None:
    """Attention of rank 3: `[h, T, d]`, as torch.nn.MultiheadAttention is exported at batch 1."""
    b.merged, draft, shape = True, b.draft, np.array([HEADS, b.count, EACH])
    parts = [draft.add("Reshape", [b.by_head(part), draft.constant(shape)]) for part in b.three_products()]
    b.classify(b.picked(draft.norm(b.rest(b.attend(*parts)), WIDTH, 3)))


def two_class_tokens(b: Block) -> None:
    """Distilled DeiT: the mean of what two tokens say."""
    x = b.draft.norm(b.block(), WIDTH, 3)
    both = [b.classify(b.picked(x, row), f"says_{row}") for row in (0, 1)]
    b.draft.add("Div", [b.draft.add("Add", both), b.draft.constant(2.0)], "logits")


def slice_pick(b: Block) -> None:
    row = b.sliced(b.draft.norm(b.block(), WIDTH, 3), 0, 1)
    b.classify(b.draft.reshape(row, [WIDTH]))


def slice_of_two(b: Block) -> None:
    rows = b.sliced(b.draft.norm(b.block(), WIDTH, 3), 1, 3)
    b.draft.dense(b.draft.reshape(rows, [2 * WIDTH]), 2 * WIDTH, CLASSES, "logits")


def picked_before_the_perceptron(b: Block) -> None:
    """Take the class token right behind the attention, and its own row of the skip connection."""
    draft = b.draft
    mixed = b.attend(*(b.by_head(part) for part in b.three_products()))
    x = draft.add("Add", [b.picked(b.x), b.picked(draft.project(b.heads_joined(mixed), WIDTH, WIDTH))])
    b.classify(draft.add("Tanh", draft.project(x, WIDTH, WIDTH)))


def picked_twice(b: Block) -> None:
    x = b.block()
    b.classify(b.draft.add("Mul", [b.picked(x), b.draft.add("Sigmoid", b.picked(b.draft.norm(x, WIDTH, 3)))]))


FOLDED: dict[str, tuple[Draw, int]] = {
    "class token": (class_token(), 1),
    "three parameters": (class_token(), 3),
    "split": (class_token(parts="one_product_split"), 1),
    "gathered": (class_token(parts="one_product_gathered"), 1),
    "scaled queries": (class_token(scale="query"), 1),
    "scaled keys": (class_token(scale="key"), 1),
    "no scale": (class_token(scale="none"), 1),
    "bias": (class_token(bias=1.0), 1),
    "far scores": (class_token(bias=20.0), 1),
    "two class tokens": (two_class_tokens, 2),
    "slice": (slice_pick, 1),
    "slice of two": (slice_of_two, 3),
    "picked early": (picked_before_the_perceptron, 1),
    "picked twice": (picked_twice, 1),
}


def mean_of_tokens(b: Block) -> None:
    b.classify(b.draft.reduce("ReduceMean", b.block(), [1], keepdims=0))


def mean_of_patches(b: Block) -> None:
    b.classify(b.draft.reduce("ReduceMean", b.sliced(b.block(), 1, b.count), [1], keepdims=0))


def class_token_and_mean(b: Block) -> None:
    x = b.block()
    b.classify(b.draft.add("Add", [b.picked(x), b.draft.reduce("ReduceMean", x, [1], keepdims=0)]))


def a_patch_is_picked(b: Block) -> None:
    b.classify(b.picked(b.block(), 5))


def two_attentions(b: Block) -> None:
    b.x = b.block()
    b.normed = b.draft.norm(b.x, WIDTH, 3)
    b.classify(b.picked(b.block()))


def mixed_behind(b: Block) -> None:
    """A layer along the tokens follows the attention."""
    turned = b.draft.add("Transpose", b.block(), perm=[0, 2, 1])
    mixed = b.draft.add("Tanh", b.draft.project(turned, b.count, b.count))
    b.classify(b.picked(b.draft.add("Transpose", mixed, perm=[0, 2, 1])))


def mixed_before(b: Block) -> None:
    """What the values are depends on the mean of all tokens."""
    shared = b.draft.reduce("ReduceMean", b.normed, [1])
    b.normed = b.draft.add("Add", [b.normed, b.draft.add("Tanh", shared)])
    b.classify(b.picked(b.block()))


def scores_weighed_by_all(b: Block) -> None:
    """How sharp the softmax is depends on the mean of all tokens."""
    draft = b.draft
    query, key, value = (b.by_head(part) for part in b.three_products())
    mean = draft.reshape(draft.reduce("ReduceMean", b.x, [1, 2]), [1, 1, 1])
    scores = draft.add("MatMul", [query, draft.add("Transpose", key, perm=[0, 1, 3, 2])])
    sharp = draft.add("Mul", [scores, draft.add("Exp", mean)])
    b.classify(b.picked(b.rest(draft.add("MatMul", [draft.add("Softmax", sharp, axis=3), value]))))


def mean_beside_the_attention(b: Block) -> None:
    """The class token's logits, and beside them a layer on the mean of the tokens before the attention."""
    mean = b.draft.reduce("ReduceMean", b.x, [1], keepdims=0)
    b.draft.add("Add", [b.classify(b.picked(b.block()), "seen"), b.classify(mean, "mean")], "logits")


def mean_of_normed_beside_the_attention(b: Block) -> None:
    """The same of a tensor that nothing behind the attention reads token by token."""
    mean = b.draft.reduce("ReduceMean", b.normed, [1], keepdims=0)
    b.draft.add("Add", [b.classify(b.picked(b.block()), "seen"), b.classify(mean, "mean")], "logits")


def constant_for_each_token_behind(b: Block) -> None:
    """Positions are added once more behind the attention."""
    x = b.draft.add("Add", [b.block(), b.draft.weight(1, b.count, WIDTH)])
    b.classify(b.picked(b.draft.norm(x, WIDTH, 3)))


def constant_for_each_token_behind_two(b: Block) -> None:
    """The same where two rows of it are read."""
    x = b.draft.add("Add", [b.block(), b.draft.weight(1, b.count, WIDTH)])
    both = [b.classify(b.picked(x, row), f"says_{row}") for row in (0, 1)]
    b.draft.add("Add", both, "logits")


def constant_for_each_token_behind_the_second(b: Block) -> None:
    """The same where only the second row of it is read."""
    x = b.draft.add("Add", [b.block(), b.draft.weight(1, b.count, WIDTH)])
    b.classify(b.picked(x, 1))


def every_other_row(b: Block) -> None:
    """A slice with a step takes the rows 0 and 2, not 0 and 1."""
    rows = b.sliced(b.block(), 0, 3, 2)
    b.draft.dense(b.draft.reshape(rows, [2 * WIDTH]), 2 * WIDTH, CLASSES, "logits")


UNFOLDED: dict[str, tuple[Draw, int]] = {
    "mean of tokens": (mean_of_tokens, 1),
    "mean of patches": (mean_of_patches, 1),
    "class token and mean": (class_token_and_mean, 1),
    "patch picked": (a_patch_is_picked, 1),
    "two attentions": (two_attentions, 1),
    "mixed behind": (mixed_behind, 1),
    "mixed before": (mixed_before, 1),
    "scores weighed by all": (scores_weighed_by_all, 1),
    "mean beside": (mean_beside_the_attention, 1),
    "mean of normed beside": (mean_of_normed_beside_the_attention, 1),
}
PROOF_ALONE = {"scores weighed by all", "mean beside", "mean of normed beside"}
"""Of these, only the comparison with the whole head shows that they cannot."""
EITHER: dict[str, tuple[Draw, int]] = {
    "constant for each token": (constant_for_each_token_behind, 1),
    "constant for each token, two": (constant_for_each_token_behind_two, 2),
    "constant for each token, second": (constant_for_each_token_behind_the_second, 2),
    "every other row": (every_other_row, 3),
}
"""Heads that could be folded and need not be; their answers must be right."""


@pytest.fixture
def drawn(zoo: Any, load_here: Any) -> Callable[..., Model]:
    def load(case: tuple[Draw, int], opset: int = 17, batch: str | int = "N", **options: Any) -> Model:
        draw, parameters = case
        draft = zoo.Draft(opset, batch=batch, **options)
        draw(Block(draft, parameters))
        return load_here(draft.model("logits"), split="features")

    return load


def require_equal(zoo: Any, model: Model) -> None:
    """Require the whole head's answers: of everything, nothing, single units, all but one, random halves."""
    count = model.split.count
    masks = np.concatenate([random_masks(count, 12, seed=5), np.eye(2, count), 1 - np.eye(2, count)])
    masks = np.concatenate([masks, np.ones((1, count)), np.zeros((1, count))]).astype(np.float32)
    for seed in (0, 7):
        features = model.features(zoo.pictures(1, seed=seed))
        expected = model.bind_alone(features).score(masks)

        np.testing.assert_allclose(model.bind(features).score(masks), expected, rtol=2e-5, atol=2e-5)
        assert np.ptp(expected, axis=0).max() > 1e-2, "the masks change nothing: the test is blind"


@pytest.mark.parametrize("batch", ["N", 1])
@pytest.mark.parametrize("name", FOLDED)
def test_a_folded_attention_gives_what_the_whole_head_gives(zoo: Any, drawn: Any, name: str, batch: str | int) -> None:
    model = drawn(FOLDED[name], batch=batch)

    assert model.split.fixed == tuple(range(FOLDED[name][1]))
    assert (model.probe.kind, model.probe.batchable, model.batch) == ("attention", True, 64)
    require_equal(zoo, model)


def test_heads_in_the_batch_are_folded_too(zoo: Any, drawn: Any) -> None:
    model = drawn((heads_in_the_batch, 1), batch=1)

    assert model.probe.kind == "attention"
    require_equal(zoo, model)


@pytest.mark.parametrize("opset", range(9, 27))
@pytest.mark.parametrize("name", ["class token", "split", "two class tokens", "bias"])
def test_every_operator_set_is_folded(zoo: Any, drawn: Any, name: str, opset: int) -> None:
    model = drawn(FOLDED[name], opset, batch=["N", 1][opset % 2])

    assert model.probe.kind == "attention"
    require_equal(zoo, model)


@pytest.mark.parametrize("name", ["vit", "vit_registers"])
@pytest.mark.parametrize("opset", range(9, 21))
def test_the_zoos_class_tokens_are_folded(zoo: Any, load_here: Any, name: str, opset: int) -> None:
    model = load_here(zoo.build(name, opset, batch=["N", 1][opset % 2], layout=["NHWC", "NCHW"][opset // 2 % 2])[0])
    features = model.features(zoo.pictures(1, model.opened.picture.layout, seed=4))
    masks = random_masks(16, 12, seed=5)

    assert model.probe.kind == "attention"
    np.testing.assert_allclose(
        model.bind(features).score(masks), model.bind_alone(features).score(masks), rtol=2e-5, atol=2e-5
    )


@pytest.mark.parametrize("batch", ["N", 1])
@pytest.mark.parametrize("name", UNFOLDED)
def test_an_attention_that_reads_removable_tokens_is_not_folded(
    zoo: Any, drawn: Any, name: str, batch: str | int
) -> None:
    model = drawn(UNFOLDED[name], batch=batch)

    assert model.probe.kind != "attention"
    require_equal(zoo, model)


@pytest.mark.parametrize("name", [name for name in UNFOLDED if name not in PROOF_ALONE])
def test_the_graph_alone_shows_that_it_cannot_be_folded(drawn: Any, name: str) -> None:
    model = drawn(UNFOLDED[name])
    graph, opened = model.opened.graph.proto.graph, model.opened

    assert find_attention(graph, model.split, opened.logits.tensor, opened.measured.values) is None


@pytest.mark.parametrize("batch", ["N", 1])
@pytest.mark.parametrize("name", EITHER)
def test_rows_that_are_hard_to_follow_are_answered_rightly(zoo: Any, drawn: Any, name: str, batch: str | int) -> None:
    require_equal(zoo, drawn(EITHER[name], batch=batch))


@pytest.mark.parametrize("name", ["vit_mean", "mixer"])
def test_the_zoos_other_transformers_are_not_folded(zoo: Any, load_here: Any, name: str) -> None:
    assert load_here(zoo.build(name)[0]).probe.kind != "attention"


def test_half_precision_is_not_folded(zoo: Any, drawn: Any) -> None:
    """The sums would be taken in another precision than the head's own."""
    assert drawn(FOLDED["class token"], dtype="float16").probe.kind != "attention"


def test_an_earlier_split_with_two_attentions_behind_is_not_folded(zoo: Any, load_here: Any) -> None:
    proto, _ = zoo.build("vit")
    first = load_here(proto).opened.candidates
    tokens = next(c.tensor.name for c in first if c.form == "tokens")

    assert load_here(proto, split=tokens).probe.kind != "attention"


def test_a_probe_of_a_folded_attention_holds_rows_only(zoo: Any, drawn: Any) -> None:
    """What travels is one row a unit: no token by token scores, no tokens beside the class token's."""
    model = drawn(FOLDED["class token"])
    prepared = model.probe.prepare(model.features(zoo.pictures(1)))
    sums = {name: value.shape for name, value in prepared.items() if name.startswith("ddcam")}

    assert sums == {
        "ddcam_numerators": (TOKENS, WIDTH),
        "ddcam_numerator": (WIDTH,),
        "ddcam_denominators": (TOKENS, HEADS),
        "ddcam_denominator": (HEADS,),
    }
    assert {value.shape for name, value in prepared.items() if name not in sums} == {(1, 1, WIDTH)}
    assert model.probe.strengths(prepared).shape == (TOKENS,)
