"""CycleGAN's step: which loss moves what, PyTorch's gradients, the schedule, accumulation, and state that resumes."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops
from test_cyclegan_models import torch_network

from sle_gan import CycleGANConfig, augment, engine, weights
from sle_gan.engine import RandomStream
from sle_gan.errors import UserError
from sle_gan.gans.base import make_gan
from sle_gan.gans.cyclegan import huggan as conversion
from sle_gan.gans.cyclegan.gan import CycleGAN, LinearDecay
from sle_gan.pictures import pixels
from sle_gan.runs.checkpoints import CheckpointFolder
from sle_gan.training.step import compile_step

TINY = CycleGANConfig(
    resolution=64, width=4, blocks=1, batch_size=2, data_folder="a", target_folder="b", flip=False, pool_size=3, steps=9
)
GENERATORS = ("generator_AB", "generator_BA")


def make(**changes: Any) -> CycleGAN:
    """With larger initial weights than usual, so that no loss is too small to see."""
    keras.utils.set_random_seed(0)
    gan = make_gan(dataclasses.replace(TINY, **changes).validated())
    assert isinstance(gan, CycleGAN)
    for network in gan.networks.values():
        for variable in network.trainable_variables:
            variable.assign(variable.value * 5.0)
    return gan


def with_sgd(gan: CycleGAN, rate: float = 1.0) -> CycleGAN:
    """Updates that are the gradients: Adam's first step is a sign, whatever the gradient's size."""
    gan.generator_optimizer = keras.optimizers.SGD(rate)
    gan.generator_optimizer.build(gan.a_to_b.trainable_variables + gan.b_to_a.trainable_variables)
    ways = []
    for way in gan.ways:
        ways.append(way._replace(optimizer=keras.optimizers.SGD(rate)))
        ways[-1].optimizer.build(way.discriminator.trainable_variables)
    gan.ways = tuple(ways)
    return gan


def values(gan: CycleGAN) -> dict[str, np.ndarray]:
    return {name: ops.convert_to_numpy(variable.value) for name, variable in gan.state().items()}


def moved(gan: CycleGAN, before: dict[str, np.ndarray]) -> set[str]:
    """Networks and buffers of which anything changed."""
    after = values(gan)
    return {name.split("/")[0] for name in after if not np.array_equal(before[name], after[name])} - {"optimizer"}


def batch(seed: int = 0, size: int = 2) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    a, b = (random.integers(0, 256, (size, 64, 64, 3), dtype=np.uint8) for _ in "ab")
    return a, b // 2  # B is darker


def test_each_phase_moves_its_networks_and_nothing_else() -> None:
    gan = with_sgd(make())
    judges, generators = gan.phases
    before = values(gan)
    logs = judges.run(batch(), RandomStream(0, 0))
    assert set(logs) == {"real_A", "fake_A", "real_B", "fake_B", "D_sign_A", "D_sign_B"}
    assert moved(gan, before) == {"discriminator_A", "discriminator_B", "buffer"}
    before = values(gan)
    logs = generators.run(batch(), RandomStream(0, 0))
    assert set(logs) == {f"{kind}_{which}" for kind in ("cycle", "identity") for which in "AB"} | set(GENERATORS)
    assert moved(gan, before) == set(GENERATORS)


@pytest.mark.parametrize(
    ("weights_of", "judging", "depends"),
    (
        # What each generator's gradient depends on, by the losses that are left.
        ({"cycle_weight": 0.0, "identity_weight": 0.0}, "B", {"generator_AB": "A", "generator_BA": ""}),
        ({"cycle_weight": 0.0, "identity_weight": 5.0}, "", {"generator_AB": "B", "generator_BA": "A"}),
        ({"cycle_weight": 10.0, "identity_weight": 0.0}, "", {"generator_AB": "AB", "generator_BA": "AB"}),
    ),
)
def test_each_loss_moves_the_generators_that_it_should(weights_of: dict, judging: str, depends: dict) -> None:
    updates = []
    for changed in ("", "A", "B"):
        gan = with_sgd(make(**weights_of))
        for way in gan.ways:
            if way.target not in judging:  # a discriminator of zeros says the same of everything
                for variable in way.discriminator.trainable_variables:
                    variable.assign(ops.zeros(variable.shape))
        before = values(gan)
        images = {domain: batch(seed=1 if domain in changed else 0)[i] for i, domain in enumerate("AB")}
        gan.phases[1].run((images["A"], images["B"]), RandomStream(0, 0))
        after = values(gan)
        updates.append({name: after[name] - before[name] for name in after if name.startswith(GENERATORS)})
    for network, domains in depends.items():
        names = [name for name in updates[0] if name.startswith(network)]
        largest = max(np.abs(updates[0][name]).max() for name in names)
        assert (largest > 0) == bool(domains)
        for changed, other in zip("AB", updates[1:]):
            same = all(np.array_equal(updates[0][name], other[name]) for name in names)
            assert same == (changed not in domains), f"{network} and pictures of {changed}"


def test_the_step_equals_pytorchs() -> None:
    """One step by autograd: D on the fakes, then the generators' losses through the updated D."""
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    gan = with_sgd(make(), rate=0.1)
    initial = values(gan)
    states = {name: torch_state(network) for name, network in gan.networks.items()}
    nets = {name: torch_network(state, name in GENERATORS) for name, state in states.items()}
    g_ab, g_ba, d_a, d_b = (nets[name] for name in (*GENERATORS, "discriminator_A", "discriminator_B"))
    a, b = (torch.tensor(images.transpose(0, 3, 1, 2) / 127.5 - 1, dtype=torch.float32) for images in batch())

    d_loss = sum(
        ((judge(real) - 1) ** 2).mean() + (judge(fake.detach()) ** 2).mean()
        for judge, real, fake in ((d_a, a, g_ba(b)), (d_b, b, g_ab(a)))
    )
    descend(d_loss, states, ("discriminator_A", "discriminator_B"))
    fake_b, fake_a = g_ab(a), g_ba(b)
    g_loss = ((d_b(fake_b) - 1) ** 2).mean() + ((d_a(fake_a) - 1) ** 2).mean()
    g_loss = g_loss + 10 * ((g_ba(fake_b) - a).abs().mean() + (g_ab(fake_a) - b).abs().mean())
    g_loss = g_loss + 5 * ((g_ab(b) - b).abs().mean() + (g_ba(a) - a).abs().mean())
    descend(g_loss, states, GENERATORS)

    logs = gan.train_step(batch(), RandomStream(0, 0))
    ours_d = sum(float(logs[name]) for name in logs if name.startswith(("real", "fake")))
    assert ours_d == pytest.approx(d_loss.item(), rel=1e-4)
    weight = {"generator": 1, "cycle": 10, "identity": 5}
    ours_g = sum(weight.get(name.split("_")[0], 0) * float(value) for name, value in logs.items())
    assert ours_g == pytest.approx(g_loss.item(), rel=1e-4)
    for name, network in gan.networks.items():
        theirs = torch_state_to_ours(states[name], name in GENERATORS)
        for path, variable in weights.variables_by_path(network).items():
            change = np.abs(theirs[path] - initial[f"{name}/{path}"]).max()
            found = ops.convert_to_numpy(variable.value)
            np.testing.assert_allclose(found, theirs[path], atol=2e-3 * change, err_msg=f"{name}/{path}")


def test_all_that_a_discriminator_sees_is_augmented() -> None:
    gan, before = with_sgd(make(diff_augment=True, pool_size=0)), make(diff_augment=True, pool_size=0)
    images, random = dict(zip("AB", map(pixels.to_model, batch()))), RandomStream(0, 0)
    fakes = {way.target: way.there(images[way.source]) for way in before.ways}
    logs = gan.train_step(batch(), random)

    def judged(ways: Any, domain: str, seen: Any, kind: str) -> np.ndarray:
        (judge,) = (way.discriminator for way in ways if way.target == domain)
        augmented = augment.diff_augment([seen], gan.config.policy_names, random.fold(f"augment {kind} {domain}"))
        return ops.convert_to_numpy(judge(augmented[0]))

    for domain, source in ("AB", "BA"):
        expected = {
            f"real_{domain}": ((judged(before.ways, domain, images[domain], "real") - 1) ** 2).mean(),
            f"fake_{domain}": (judged(before.ways, domain, fakes[domain], "pooled") ** 2).mean(),
            # By the discriminator after its update.
            f"generator_{source}{domain}": ((judged(gan.ways, domain, fakes[domain], "fake") - 1) ** 2).mean(),
        }
        assert {name: float(logs[name]) for name in expected} == pytest.approx(expected, rel=1e-4)


def modules(state_or_network: Any, generator: bool) -> list[tuple[str, str, bool]]:
    """(our layer, PyTorch's module, whether the bias counts) of a network."""
    if generator:
        shapes = {"model.1.weight": np.zeros((4, 3, 7, 7)), "model.10.block.1.weight": np.zeros(1)}
        return list(conversion._generator(shapes, Path("G"))[2])
    return list(conversion._discriminator({"model.0.weight": np.zeros((4, 3, 4, 4))}, Path("D"))[2])


def torch_state(network: Any) -> dict:
    import torch

    ours = {path: ops.convert_to_numpy(v.value) for path, v in weights.variables_by_path(network).items()}
    state = {}
    for layer, module, _ in modules(network, network.name in GENERATORS):
        kernel = ours[f"{layer}/kernel"].transpose(3, 2, 0, 1)
        bias = ours.get(f"{layer}/bias", np.zeros(len(kernel), np.float32))
        state |= {f"{module}.weight": torch.tensor(kernel.copy()), f"{module}.bias": torch.tensor(bias)}
    return {key: tensor.requires_grad_() for key, tensor in state.items()}


def torch_state_to_ours(state: dict, generator: bool) -> dict[str, np.ndarray]:
    ours = {}
    for layer, module, bias in modules(state, generator):
        ours[f"{layer}/kernel"] = state[f"{module}.weight"].detach().numpy().transpose(2, 3, 1, 0)
        if bias:
            ours[f"{layer}/bias"] = state[f"{module}.bias"].detach().numpy()
    return ours


def descend(loss: Any, states: dict, names: tuple[str, ...], rate: float = 0.1) -> None:
    import torch

    tensors = [tensor for name in names for tensor in states[name].values()]
    gradients = torch.autograd.grad(loss, tensors)
    with torch.no_grad():
        for tensor, gradient in zip(tensors, gradients):
            tensor -= rate * gradient


def test_a_step_equals_its_phases() -> None:
    ends = []
    for whole in (True, False):
        gan = with_sgd(make(diff_augment=True, flip=True, gan_loss="hinge"))
        if whole:
            gan.train_step(batch(), RandomStream(0, 0))
        else:
            for phase in gan.phases:
                phase.run(batch(), RandomStream(0, 0))
        ends.append(values(gan))
    for name, expected in ends[0].items():
        np.testing.assert_allclose(ends[1][name], expected, atol=1e-5, err_msg=name)


def test_accumulated_gradients_are_those_of_the_whole_batch() -> None:
    ends = []
    for parts in (1, 2):
        gan = make(gradient_accumulation=parts, pool_size=0)
        logs = compile_step(gan, engine.Devices())([batch()], 0)
        ends.append((values(gan), logs[0]))
    assert ends[0][1] == pytest.approx(ends[1][1], rel=1e-4)
    for name, expected in ends[0][0].items():
        if name.endswith("momentum"):  # Adam's first is a tenth or half of the gradient
            atol = 2e-3 * np.abs(expected).max() + 1e-8
            np.testing.assert_allclose(ends[1][0][name], expected, atol=atol, err_msg=name)


def test_learning_rates_stay_then_fall_to_zero() -> None:
    gan = make(steps=200, decay_epoch=80)
    gan.schedule(steps_per_epoch=1.0, last_step=200)
    rates = {}
    for step in (0, 79, 80, 140, 199):
        gan.generator_optimizer.iterations.assign(step)
        rates[step] = float(gan.generator_optimizer.learning_rate)
    assert rates == pytest.approx({0: 2e-4, 79: 2e-4, 80: 2e-4, 140: 1e-4, 199: 2e-4 / 120})
    constant = LinearDecay(1e-3)
    constant.start, constant.end = 300, 200  # a run that ends before the decay would begin
    assert float(constant(199)) == pytest.approx(1e-3)


def test_the_default_length_is_200_epochs() -> None:
    config = dataclasses.replace(TINY, steps=None, batch_size=8)
    assert config.total_steps(100) == 200 * 100 // 8
    assert dataclasses.replace(config, epochs=3).total_steps(100) == 38
    assert dataclasses.replace(config, steps=7).total_steps(100) == 7


@pytest.mark.parametrize(
    ("change", "words"),
    (
        ({"cycle_weight": -1.0}, "--cycle-weight"),
        ({"identity_weight": float("nan")}, "--identity-weight"),
        ({"pool_size": -1}, "--pool-size"),
        ({"beta_1": 1.0}, "--beta-1"),
        ({"blocks": 0}, "--blocks"),
        ({"resolution": 1024}, "--resolution"),
    ),
)
def test_bad_settings_are_refused(change: dict, words: str) -> None:
    with pytest.raises(UserError, match=words):
        dataclasses.replace(TINY, **change).validated()


def test_a_resumed_run_is_bit_equal(tmp_path: Path) -> None:
    """Four steps, and two steps, a checkpoint, another process's networks and two steps; the rates fall all along."""

    def start(**changes: Any) -> tuple[CycleGAN, Any]:
        gan = make(decay_epoch=1, diff_augment=True, flip=True, **changes)
        gan.schedule(steps_per_epoch=1.0, last_step=4)
        return gan, engine.Devices().compile(gan.train_step, gan.state().values(), seed=3)

    straight, step = start()
    step([batch(k) for k in range(1)], 0)
    step([batch(1)], 1)
    folder = CheckpointFolder(tmp_path, keep=1)
    folder.save(2, straight.state(), {})
    for k in (2, 3):
        step([batch(k)], k)
    resumed, step = start(seed=5)
    folder.load_newest(resumed.state())
    for k in (2, 3):
        step([batch(k)], k)
    expected, found = values(straight), values(resumed)
    assert expected["buffer/pool_A/count"] == 3 and np.abs(expected["buffer/pool_A/images"]).max() > 0
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


def test_mixed_precision_runs() -> None:
    gan = make(mixed_precision="bfloat16")
    before = values(gan)
    logs = {name: float(value) for name, value in gan.train_step(batch(), RandomStream(0, 0)).items()}
    assert all(np.isfinite(value) for value in logs.values())
    assert moved(gan, before) == {*gan.networks, "buffer"}
    assert {variable.dtype for variable in gan.a_to_b.variables} == {"float32"}
    exact = {name: float(value) for name, value in make().train_step(batch(), RandomStream(0, 0)).items()}
    # D_sign jumps where a logit near 0 is rounded to its other side.
    near, expected = ({name: x for name, x in each.items() if "D_sign" not in name} for each in (logs, exact))
    assert near == pytest.approx(expected, rel=0.1, abs=0.02)


def test_previews_and_scored_pictures() -> None:
    gan = make()
    a, b = batch(size=3)
    grids = gan.previews((a, b))
    assert set(grids) == {"A_to_B", "B_to_A"}
    assert grids["A_to_B"].shape == (3 * 66 + 2, 3 * 66 + 2, 3)
    np.testing.assert_array_equal(grids["A_to_B"][2:66, 2:66], a[0])
    np.testing.assert_array_equal(grids["B_to_A"][2:66, 68:132], b[1])
    translations = np.concatenate(list(gan.scored_images(2, (a, b))))
    assert translations.shape == (2, 64, 64, 3)
    np.testing.assert_array_equal(grids["A_to_B"][68:132, 2:66], translations[0])
    with pytest.raises(UserError, match="use sle-gan translate"):
        gan.generate(range(2))
