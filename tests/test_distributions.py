"""Losses and projections of distributional heads against rlax, gradients included."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rlax
from conftest import small
from test_heads import adversarial

import jaxdqn
from jaxdqn import ConfigError
from jaxdqn import environment as environments
from jaxdqn.algorithm import dqn
from jaxdqn.losses import bootstrap, distributions, heads
from jaxdqn.types import Transition

KEY = jax.random.key(0)
COUNT, ACTIONS, WIDTH = 200, 5, 11
RETURNS = jnp.linspace(-2.0, 3.0, WIDTH)
CATEGORICAL = distributions.categorical(WIDTH, -2.0, 3.0)


def transitions():
    """Outputs ``[COUNT, A, K]`` of three networks that prefer different actions, and the rest."""
    rng = np.random.default_rng(0)
    means = adversarial(rng, COUNT, ACTIONS)
    spread = rng.normal(size=(3, COUNT, ACTIONS, WIDTH)).astype(np.float32)
    tm1, target, selector = (
        m[..., None] + 0.3 * x for m, x in zip((means[0], *means[3:5]), spread, strict=True)
    )
    r_t, discount_t, a_tm1 = means[1], means[2], means[5]
    return tm1, target, selector, r_t, discount_t, a_tm1


def ours(head, double):
    """Our loss, and its gradient, for each transition."""

    def loss(tm1, target, selector, r_t, discount_t, a_tm1):
        return heads.temporal_difference_loss(
            head, bootstrap.greedy(double), Transition(None, a_tm1, r_t, discount_t, None), tm1,
            target, online_t=lambda: head.mean(selector), target_at_midpoints_t=lambda: None,
            target_tm1=lambda: None,
        )[0]  # fmt: skip

    return jax.jit(jax.vmap(jax.value_and_grad(loss)))


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
@pytest.mark.parametrize("double", [True, False])
def test_the_categorical_loss_and_its_gradient_equal_rlax(double):
    tm1, target, selector, r_t, discount_t, a_tm1 = transitions()

    def theirs(tm1, target, selector, r_t, discount_t, a_tm1):
        chooser = CATEGORICAL.mean(selector if double else target)
        if double:
            return rlax.categorical_double_q_learning(
                RETURNS, tm1, a_tm1, r_t, discount_t, RETURNS, target, chooser
            )
        return rlax.categorical_q_learning(RETURNS, tm1, a_tm1, r_t, discount_t, RETURNS, target)

    given = (tm1, target, selector, r_t, discount_t, a_tm1)
    expected = jax.jit(jax.vmap(jax.value_and_grad(theirs)))(*given)
    for one, other in zip(ours(CATEGORICAL, double)(*given), expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("double", [True, False])
@pytest.mark.parametrize("delta", [1.0, 0.25])
def test_the_quantile_loss_and_its_gradient_equal_rlax(double, delta):
    """The referee doesn't divide by delta, as the paper does."""
    head = distributions.quantile(WIDTH, delta)
    fractions = (jnp.arange(WIDTH) + 0.5) / WIDTH
    given = transitions()

    def theirs(tm1, target, selector, r_t, discount_t, a_tm1):
        return rlax.quantile_q_learning(
            tm1.T, fractions, a_tm1, r_t, discount_t, (selector if double else target).T, target.T,
            huber_param=delta,
        ) / delta  # fmt: skip

    expected = jax.jit(jax.vmap(jax.value_and_grad(theirs)))(*given)
    for one, other in zip(ours(head, double)(*given), expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_implicit_quantiles_at_midpoints_are_quantiles():
    tm1, target, selector, *rest = transitions()
    fractions = jnp.broadcast_to(distributions.midpoints(WIDTH), tm1.shape)
    both = [jnp.concatenate([x, fractions], -1) for x in (tm1, target, selector)]
    implicit = ours(distributions.implicit_quantile(WIDTH), True)(*both, *rest)
    plain = ours(distributions.quantile(WIDTH), True)(tm1, target, selector, *rest)
    np.testing.assert_allclose(implicit[0], plain[0], rtol=1e-6)
    np.testing.assert_allclose(implicit[1][..., :WIDTH], plain[1], rtol=1e-5, atol=1e-7)


def test_the_implicit_loss_equals_rlax_at_any_fractions():
    rng = np.random.default_rng(1)
    tm1, target, selector, r_t, discount_t, a_tm1 = transitions()
    at = rng.random((2, COUNT, 1, WIDTH)).astype(np.float32)
    full = [jnp.broadcast_to(x, tm1.shape) for x in at]
    head = distributions.implicit_quantile(WIDTH)
    given = [
        jnp.concatenate(x, -1) for x in ((tm1, full[0]), (target, full[1]), (selector, full[1]))
    ]
    found, _ = ours(head, True)(*given, r_t, discount_t, a_tm1)
    expected = jax.vmap(rlax.quantile_q_learning, (0, 0, 0, 0, 0, 0, 0, None))(
        tm1.swapaxes(1, 2), at[0][:, 0], a_tm1, r_t, discount_t, selector.swapaxes(1, 2),
        target.swapaxes(1, 2), 1.0,
    )  # fmt: skip
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("sure", [0, 1])
def test_drawn_fractions_judge_an_action_but_do_not_choose_it(sure):
    """Else whichever action the draw flatters would be taken, and overestimated."""
    head = distributions.implicit_quantile(WIDTH)
    flattered = jnp.stack([jnp.full(WIDTH, 1.0 - sure), jnp.full(WIDTH, float(sure))])
    target_t = jnp.concatenate([flattered, jnp.full((2, WIDTH), 0.5)], axis=1)
    outputs = jnp.concatenate([jnp.zeros((2, WIDTH)), jnp.full((2, WIDTH), 0.5)], axis=1)
    transition = Transition(None, jnp.int32(0), jnp.float32(0), jnp.float32(1), None)
    losses = [
        heads.temporal_difference_loss(
            head, bootstrap.greedy(False), transition, outputs, target_t, online_t=lambda: None,
            target_at_midpoints_t=lambda at=at: jax.nn.one_hot(at, 2), target_tm1=lambda: None,
        )[1] for at in (sure, 1 - sure)
    ]  # fmt: skip
    assert [float(surprise) for surprise in losses] == [1.0, 0.0]


def test_projection_keeps_the_mean_of_what_lies_within():
    """The gradient of a cross-entropy is prediction less target, so the target can be read off."""
    logits = jax.random.normal(KEY, (WIDTH,))

    @jax.jit
    def projected(r_t, discount_t):
        zero = jnp.zeros(WIDTH)
        grad = jax.grad(lambda x: CATEGORICAL.loss(x, logits, r_t, discount_t)[0])(zero)
        return jax.nn.softmax(zero) - grad

    mean = CATEGORICAL.mean(logits)
    for r_t, discount_t in ((0.1, 0.9), (0.33, 0.5), (-0.5, 0.7), (1.7, 0.0)):
        target = projected(r_t, discount_t)
        assert float(target.sum()) == pytest.approx(1.0, abs=1e-5)
        assert float(target @ RETURNS) == pytest.approx(r_t + discount_t * float(mean), abs=1e-5)
    np.testing.assert_allclose(projected(9.0, 0.9), jax.nn.one_hot(WIDTH - 1, WIDTH), atol=1e-5)


@pytest.mark.parametrize("v_max", [[1.0, 2.0], np.ones(3), []])
def test_a_list_of_returns_is_a_sweep(v_max):
    with pytest.raises(ConfigError, match=r"v_max \(.* is a sweep, and this trains one setting"):
        jaxdqn.train(small(head="categorical", v_max=v_max), KEY)


@pytest.mark.parametrize("v_min", [-10.0, 0.0, 1e3, 1e4])
def test_projection_loses_nothing_far_from_zero(v_min):
    """Of 51 atoms on one unit, whose places float32 rounds to a twentieth of their spacing."""
    head = distributions.categorical(51, v_min, v_min + 1.0)
    logits = jnp.zeros(51).at[::3].set(2.0)
    slope = jax.jit(jax.grad(lambda x: head.loss(x, logits, 0.1 * (v_min + 1.0), 0.9)[0]))
    grad = slope(jnp.zeros(51))
    target = 1 / 51 - grad
    assert float(target.sum()) == pytest.approx(1.0, abs=1e-5)
    assert float(target.min()) > -1e-6


def test_surprise_is_nothing_where_nothing_can_be_learned():
    logits = jax.random.normal(KEY, (WIDTH,))
    loss = jax.jit(CATEGORICAL.loss)
    assert float(loss(logits, logits, 0.0, 1.0)[1]) == pytest.approx(0.0, abs=1e-5)
    assert float(loss(logits, logits, 1.0, 1.0)[1]) > 0.1
    head = distributions.quantile(WIDTH)
    assert float(head.loss(logits, logits, 0.0, 1.0)[1]) == 0.0
    assert float(head.loss(logits, logits, 0.5, 1.0)[1]) == pytest.approx(0.5, rel=1e-5)


def test_the_quantile_loss_is_least_at_the_quantiles_themselves():
    values = jnp.sort(jax.random.uniform(KEY, (64,)))
    loss = distributions.quantile(64, 1e-4).loss
    slope = jax.jit(jax.grad(lambda x: loss(x, values, 0.0, 1.0)[0]))
    assert jnp.abs(slope(values)).max() < 1 / 64
    assert jnp.abs(slope(values + 0.1)).max() > 3 / 64


def test_means_of_all_heads_have_the_shape_of_action_values():
    for head in (CATEGORICAL, distributions.quantile(WIDTH)):
        assert head.mean(jnp.zeros((2, 3, ACTIONS, WIDTH))).shape == (2, 3, ACTIONS)
    implicit = distributions.implicit_quantile(WIDTH)
    outputs = jnp.concatenate([jnp.full((ACTIONS, WIDTH), 2.0), jnp.zeros((ACTIONS, WIDTH))], -1)
    np.testing.assert_array_equal(implicit.mean(outputs), 2.0)


@pytest.mark.parametrize(
    ("words", "fragments"),
    [
        ({"head": "categorical", "v_min": 3.0, "v_max": 2.0}, ["v_max (2.0)", "v_min (3.0)"]),
        ({"head": "categorical", "v_max": np.array([-20.0, 3.0])}, ["v_max", "must exceed v_min"]),
        ({"head": "categorical", "v_min": 10.0, "v_max": 10.0000001}, ["must exceed", "32 bits"]),
        ({"head": "categorical", "v_min": -3e38, "v_max": 3e38}, ["v_max (3e+38) is too far"]),
        ({"head": "categorical", "atoms": 1}, ["atoms (1)", "2 or more"]),
        ({"head": "quantile", "quantiles": 0}, ["quantiles (0)", "1 or more"]),
        ({"head": "implicit_quantile", "fractions": -1}, ["fractions (-1)", "1 or more"]),
        ({"head": "categorical", "bootstrap": "munchausen"},
         ["bootstrap ('munchausen')", "head ('categorical')", "set head = 'quantile'"]),
        ({"munchausen_alpha": 0.5},
         ["munchausen_alpha (0.5) belongs to bootstrap 'munchausen'", "bootstrap is 'greedy'"]),
        ({"head": "quantile", "loss": "huber"}, ["loss ('huber') belongs to head 'expected'"]),
    ],
)  # fmt: skip
def test_what_makes_no_distribution_is_refused(words, fragments):
    with pytest.raises(ConfigError) as caught:
        jaxdqn.train(small(**words), KEY)
    for fragment in fragments:
        assert fragment in str(caught.value)


def test_an_update_draws_fractions_for_each_transition_and_a_greedy_choice_none():
    """Midpoints stand for them where there is no key."""
    config = small(head="implicit_quantile", fractions=4, widths=(8,))
    agent, *_ = dqn.learner_of(config, environments.make(config)[0])
    params, given = jax.jit(agent.init)(KEY).params, jax.jit(agent.outputs)
    outputs = given(params, jnp.int32(3), jax.random.key(1))
    assert outputs.shape == (4, 8)
    assert len(np.unique(outputs[:, 4:])) == 4, "one set of fractions for all actions"
    np.testing.assert_allclose(given(params, jnp.int32(3))[0, 4:], distributions.midpoints(4))
