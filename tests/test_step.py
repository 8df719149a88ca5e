"""The ways of running a step: many at a time, from resident images, in parts, in lower precision."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

import equal_draws
import keras
import numpy as np
import pytest
from double import double_precision, largest_difference, numbers
from helpers import TINY, assert_refused, run
from hypothesis import given
from hypothesis import strategies as st
from keras import ops

from sle_gan import CycleGANConfig, DCGANConfig, LightweightConfig, SLEGANConfig, engine
from sle_gan.engine import nvidia
from sle_gan.gans.base import GAN, make_gan
from sle_gan.gans.optimizers import Accumulator, ScaledAdam, compute_precision, cotangents, make_adam
from sle_gan.models.layers import BatchNorm, leaky_relu
from sle_gan.training.loop import Trainer
from sle_gan.training.step import compile_step, steps_per_call

TINY_GAN: dict[str, Any] = {"resolution": 64, "width": 8, "latent": 16, "augment_probability": "auto", "lecam": 0.1}
IMAGES = np.random.default_rng(0).integers(0, 256, (20, 64, 64, 3), dtype=np.uint8)


def make(**settings: Any) -> tuple[engine.Devices, GAN]:
    keras.utils.set_random_seed(0)
    devices = engine.Devices()
    with devices.scope():
        return devices, make_gan(SLEGANConfig(**{**TINY_GAN, "batch_size": 4, **settings}))


@pytest.mark.parametrize(
    ("model", "resident"),
    [
        ("dcgan", False),
        ("dcgan", True),
        pytest.param("slegan", False, marks=pytest.mark.slow),
        ("slegan", True),  # singular vectors are state of the loop too
    ],
)
def test_many_steps_in_a_call_and_resident_images_change_no_bit(model: str, resident: bool) -> None:
    devices, gan = engine.Devices(), made(model)
    side = gan.config.resolution
    indices = [np.arange(4 * k, 4 * k + 4, dtype=np.int32) for k in range(3)]
    batches = [(IMAGES[rows, :side, :side],) for rows in indices]
    step = compile_step(gan, devices)
    logs = [step([batch], k)[0] for k, batch in enumerate(batches)]
    expected = numbers(gan.state())
    gan = made(model, steps_per_call=2)  # three steps: a full call, and one that is not
    images, feed = ([IMAGES[:, :side, :side]], [(rows,) for rows in indices]) if resident else (None, batches)
    assert compile_step(gan, devices, images)(feed, 0) == logs
    for name, value in numbers(gan.state()).items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)


def made(model: str, **settings: Any) -> GAN:
    keras.utils.set_random_seed(0)
    config, small = (SLEGANConfig, {}) if model == "slegan" else (DCGANConfig, {"resolution": 32})
    return make_gan(config(**{**TINY_GAN, **small, "batch_size": 4, **settings}))


def test_one_program_makes_any_number_of_steps(any_devices: engine.Devices) -> None:
    """A resumed run begins between two intervals, and a run may end anywhere: nothing is compiled a second time."""
    traced, count = [], keras.Variable(np.int32(0), trainable=False)

    def step(batch: Any, random: engine.RandomStream) -> dict[str, Any]:
        traced.append(None)
        count.assign_add(1)
        return {"step": ops.cast(random.step, "float32"), "mean": ops.mean(ops.cast(batch[0], "float32"))}

    run = any_devices.compile(step, [count], seed=0, steps=4)
    k = 0
    for steps in (1, 4, 3, 9, 2):
        logs = run([(np.full((2, 3), i, np.uint8),) for i in range(k, k + steps)], k)
        assert logs == [{"step": i, "mean": i} for i in range(k, k + steps)]
        k += steps
        assert int(count.value) == k and len(traced) == (k if engine.name == "torch" else 1)  # PyTorch traces nothing


@pytest.fixture(params=["cpu", "xla"])
def any_devices(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> engine.Devices:
    """The CPU, and what TensorFlow would have on a GPU, as far as a CPU can be taken for one."""
    if request.param == "cpu" or engine.name != "tensorflow":
        return engine.Devices()
    return pretended_gpu(monkeypatch, lambda *_: None)


def pretended_gpu(monkeypatch: pytest.MonkeyPatch, set_memory_growth: Any) -> engine.Devices:
    import tensorflow as tf

    gpu = tf.config.PhysicalDevice("/physical_device:GPU:0", "GPU")
    with monkeypatch.context() as patched:
        patched.setattr(tf.config, "list_physical_devices", lambda kind: [gpu])
        patched.setattr(tf.config.experimental, "set_memory_growth", set_memory_growth)
        return engine.Devices()


@pytest.mark.skipif(engine.name != "tensorflow", reason="TensorFlow alone compiles with XLA on a GPU only")
def test_a_whole_step_as_a_gpu_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop of XLA, resident images, barriers and float16's loss scale; two calls of unequal length, one program."""
    devices = pretended_gpu(monkeypatch, lambda *_: None)
    gan = make_gan(DCGANConfig(mixed_precision="float16", resolution=32, width=8, latent=16, batch_size=4))
    step, traced = gan.train_step, []
    monkeypatch.setattr(gan, "train_step", lambda *args: traced.append(None) or step(*args))
    run = compile_step(gan, devices, [IMAGES[:, :32, :32]])
    logs = [*run([(np.arange(4, dtype=np.int32),)] * 7, 0), *run([(np.arange(4, dtype=np.int32),)] * 10, 7)]
    assert len(logs) == 17 and len(traced) == 1
    assert all(np.isfinite(value) for each in logs for value in each.values())
    left_out = 17 - int(gan.optimizers["discriminator"].iterations)
    assert left_out < 10 and len({each["real"] for each in logs[left_out:]}) == 17 - left_out


@pytest.mark.skipif(engine.name != "tensorflow", reason="TensorFlow alone has to be told to grow its memory")
@pytest.mark.parametrize(("memory", "resident"), [(8 * 2**30, 2 * 2**30), (None, 2**30)])
def test_a_gpu_of_a_process_that_has_computed(
    monkeypatch: pytest.MonkeyPatch, memory: int | None, resident: int
) -> None:
    """A notebook: memory growth can be set no more. A quarter of the card's memory takes a training set."""

    def refuse(*_: Any) -> None:
        raise RuntimeError("Physical devices cannot be modified after being initialized")

    monkeypatch.setattr(nvidia, "gpu_memory", lambda: memory)
    devices = pretended_gpu(monkeypatch, refuse)
    assert devices.accelerated and devices.fits(resident) and not devices.fits(resident + 1)


def test_accumulated_parts_equal_one_large_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """All but batch norm, which sees one part at a time: each image is normalised by itself here."""

    def per_image(self: BatchNorm, x: Any, training: Any = None) -> Any:
        if isinstance(x, list):
            return ops.split(per_image(self, ops.concatenate(x, -1)), len(x), -1)
        mean, variance = ops.moments(x, (1, 2), keepdims=True)
        return (x - mean) * ops.rsqrt(variance + 1e-3) * ops.convert_to_tensor(self.gamma)

    monkeypatch.setattr(BatchNorm, "call", per_image)
    for name in ("normal", "uniform"):
        monkeypatch.setattr(keras.random, name, getattr(keras.random, name))  # brings them back afterwards
    with double_precision():
        whole, before = accumulated_step(1)
        parted, _ = accumulated_step(2)
    assert largest_difference(parted, whole)[0] < 1e-9, largest_difference(parted, whole)
    assert np.abs(whole["generator/to_image/kernel"] - before["generator/to_image/kernel"]).max() > 1e-6


def accumulated_step(parts: int) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """State and losses after a step in so many parts with equal draws, and the state before it."""
    devices, gan = make(batch_size=6, gradient_accumulation=parts)
    equal_draws.replace_draws(6, lambda: parts)
    for name, optimizer in gan.optimizers.items():
        sgd = keras.optimizers.SGD(1e-3, name=name)
        sgd.build(gan.networks[name].trainable_variables)
        if parts > 1:
            optimizer.optimizer = sgd
        else:
            setattr(gan, f"{name}_optimizer", sgd)
    before = numbers(gan.state())
    (logs,) = compile_step(gan, devices)([(IMAGES[:6],)], 0)
    return {**numbers(gan.state()), **{name: np.array(value) for name, value in logs.items()}}, before


def test_bfloat16_trains_float32_variables() -> None:
    logs = {}
    for precision in ("float32", "bfloat16"):
        devices, gan = make(mixed_precision=precision)
        assert keras.config.dtype_policy().name == "float32"  # of whatever is made next
        assert gan.networks["generator"].project.compute_dtype == precision
        assert gan.networks["generator_ema"].project.compute_dtype == "float32"
        (logs[precision],) = compile_step(gan, devices)([(IMAGES[:4],)], 0)
        floats = [variable for variable in gan.state().values() if "int" not in variable.dtype]
        assert {keras.backend.standardize_dtype(variable.dtype) for variable in floats} == {"float32"}
    assert logs["bfloat16"] == pytest.approx(logs["float32"], abs=0.05)
    assert logs["bfloat16"] != logs["float32"]


class Scale(keras.Model):
    """w x, with x = 1e-6: its gradient is too small for float16 unless it is scaled."""

    def __init__(self, name: str = "scale") -> None:
        super().__init__(name=name)
        self.w = self.add_weight(name="w", shape=(3,), initializer="ones")


@pytest.mark.parametrize("parts", [1, 2])
def test_float16_scales_its_losses_and_skips_overflows(parts: int) -> None:
    config = SLEGANConfig(mixed_precision="float16", gradient_accumulation=parts)
    with compute_precision(config):
        network = Scale()
    optimizer = make_adam(config, 0.1, network, "scaled")
    (scale,) = ops.convert_to_numpy(cotangents({"loss": ops.ones(())}, optimizer)["loss"]).reshape(1)
    assert scale >= 1024

    def update(gradient: float) -> np.ndarray:
        for _ in range(parts):
            optimizer.apply([ops.convert_to_tensor(np.full(3, gradient * scale, np.float32))], [network.w])
        if isinstance(optimizer, Accumulator):
            optimizer.flush()
        return ops.convert_to_numpy(network.w)

    np.testing.assert_allclose(update(1e-6), 0.9, rtol=1e-2)  # Adam's first step is the rate, in the gradient's sign
    np.testing.assert_allclose(update(np.inf), 0.9, rtol=1e-2)
    (halved,) = ops.convert_to_numpy(cotangents({"loss": ops.ones(())}, optimizer)["loss"]).reshape(1)
    assert halved == scale / 2


@pytest.mark.skipif(engine.name != "tensorflow", reason="Keras's own assigns within a branch, or rounds otherwise")
def test_the_loss_scale_is_that_of_keras(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bit for bit, as are the names of its state: float16 runs from before it was our own go on as they were."""
    monkeypatch.setattr(ScaledAdam, "GROWTH_STEPS", 3)
    ours, theirs = Scale(), Scale()
    mine = make_adam(SLEGANConfig(mixed_precision="float16"), 0.1, ours, "scaled")
    inner = engine.Adam(0.1, beta_1=0.5, beta_2=0.999, epsilon=1e-8, name="scaled")
    keras_scaled = keras.optimizers.LossScaleOptimizer(inner, dynamic_growth_steps=3, name="scaled")
    keras_scaled.build(theirs.trainable_variables)
    names = [{variable.path: variable.dtype for variable in each.variables} for each in (mine, keras_scaled)]
    assert names[0] == names[1] and len(names[0]) == len(mine.variables)
    scales = []
    for gradient in (3.0, np.inf, 1.0, -2.0, 5.0, np.nan, -np.inf, 1.0, 0.0):
        for optimizer, network in ((mine, ours), (keras_scaled, theirs)):
            optimizer.apply([ops.convert_to_tensor([1.0, gradient, 2.0])], [network.w])
        for ours_, theirs_ in zip(sorted(mine.variables, key=lambda v: v.path), by_path(keras_scaled).values()):
            np.testing.assert_array_equal(ours_, theirs_, err_msg=ours_.path)
        np.testing.assert_array_equal(ours.w, theirs.w)
        scales.append(float(mine.dynamic_scale) / ScaledAdam.FIRST_SCALE)
    assert scales == [1, 0.5, 0.5, 0.5, 1, 0.5, 0.25, 0.25, 0.25]
    assert int(mine.iterations) == 6  # those that were not left out


def by_path(optimizer: Any) -> dict[str, Any]:
    """An optimizer's variables in the order of their paths; of two with one path the last."""
    return dict(sorted((variable.path, variable) for variable in optimizer.variables))


def test_the_loss_scale_stays_within_limits() -> None:
    network = Scale()
    optimizer = make_adam(SLEGANConfig(mixed_precision="float16"), 0.1, network, "scaled")
    for scale, gradient, expected in ((1.0, np.inf, 1.0), (2.0**24, 1.0, 2.0**24)):
        optimizer.dynamic_scale.assign(scale)
        optimizer.step_counter.assign(ScaledAdam.GROWTH_STEPS - 1)
        optimizer.apply([ops.convert_to_tensor(np.full(3, gradient, np.float32))], [network.w])
        assert float(optimizer.dynamic_scale) == expected and int(optimizer.step_counter) == 0


def test_float16_trains_in_a_compiled_step() -> None:
    """The first steps overflow and change no weight; when the scale has fallen far enough, they move."""
    devices, size = engine.Devices(), {"resolution": 32, "width": 8, "latent": 16, "batch_size": 4}
    with devices.scope():
        gan = make_gan(DCGANConfig(mixed_precision="float16", **size))
    optimizer = gan.optimizers["generator"]
    optimizer.dynamic_scale.assign(2.0**24)
    before = numbers(gan.state())["generator/to_image/kernel"]
    step, k = compile_step(gan, devices), 0
    while not int(optimizer.iterations.value):
        np.testing.assert_array_equal(gan.networks["generator"].to_image.kernel, before)
        (logs,) = step([(IMAGES[:4, :32, :32],)], k)
        assert all(np.isfinite(value) for value in logs.values())
        k += 1
        assert k < 25, "the scale does not fall"
    assert k > 1 and float(optimizer.dynamic_scale.value) == 2.0 ** (25 - k)
    assert np.abs(gan.networks["generator"].to_image.kernel - before).max() > 1e-5


def test_two_variables_of_one_name_are_no_state(monkeypatch: pytest.MonkeyPatch) -> None:
    _, gan = make()
    variables = gan.optimizers["generator"].variables
    twin = keras.Variable(0.0, name=variables[-1].name)
    twin._path = variables[-1].path
    monkeypatch.setattr(type(gan), "buffers", {"pool": variables[0]})  # one more name, no twin
    assert "buffer/pool" in gan.state()
    gan.optimizers["generator"]._track_variable(twin)
    with pytest.raises(ValueError, match=f"optimizer/generator/{variables[-1].name}"):
        gan.state()


@pytest.mark.parametrize(
    ("config", "betas"),
    [
        (SLEGANConfig(**TINY_GAN), (0.5, 0.999)),
        (DCGANConfig(resolution=32, width=8), (0.5, 0.999)),
        (CycleGANConfig(resolution=64, width=4, blocks=1), (0.5, 0.999)),
        (LightweightConfig(resolution=32, fmap_max=8), (0.5, 0.9)),
    ],
)
def test_adams_numbers_are_those_of_the_published_code(config: Any, betas: tuple[float, float]) -> None:
    changed = dataclasses.replace(config, G_learning_rate=3e-4, D_learning_rate=5e-4)
    for name, optimizer in make_gan(changed).optimizers.items():
        assert (optimizer.beta_1, optimizer.beta_2, optimizer.epsilon) == (*betas, 1e-8), name
        rate = float(ops.convert_to_numpy(optimizer.learning_rate))
        assert rate == pytest.approx(3e-4 if name.startswith("generator") else 5e-4), name


def test_adam_equals_pytorch() -> None:
    torch = pytest.importorskip("torch")
    random = np.random.default_rng(0)
    start = random.standard_normal(5).astype(np.float32)
    gradients = (random.standard_normal((20, 5)) * [1e-9, 1e-8, 1e-7, 1e-4, 1]).astype(np.float32)
    network = Scale()
    network.w = network.add_weight(name="v", shape=(5,), initializer="zeros")
    network.w.assign(start)
    variables = [network.w]
    optimizer = engine.Adam(1e-2, beta_1=0.5, beta_2=0.999, epsilon=1e-8)
    optimizer.build(variables)
    theirs = torch.nn.Parameter(torch.tensor(start))
    their_optimizer = torch.optim.Adam([theirs], 1e-2, (0.5, 0.999), eps=1e-8)
    for gradient in gradients:
        optimizer.apply([ops.convert_to_tensor(gradient)], variables)
        theirs.grad = torch.tensor(gradient)
        their_optimizer.step()
    np.testing.assert_allclose(ops.convert_to_numpy(network.w), theirs.detach().numpy(), rtol=1e-5)


def test_the_gradient_of_leaky_relu() -> None:
    x = ops.convert_to_tensor(np.random.default_rng(0).standard_normal((2, 4, 4, 6)).astype(np.float32))
    results = []
    for function in (leaky_relu, lambda x: ops.where(x > 0, x, 0.2 * x)):
        y, pullback = engine.vjp(function, (), [x])
        results.append((ops.convert_to_numpy(y), ops.convert_to_numpy(pullback(ops.sin(y))[1][0])))
    for a, b in zip(*results):
        np.testing.assert_allclose(a, b, atol=1e-6)


@given(st.integers(1, 40), st.integers(1, 40), st.none() | st.integers(1, 12), st.booleans(), st.integers(1, 60))
def test_calls_end_where_something_is_to_be_done(
    checkpoint_every: int, sample_every: int, asked: int | None, accelerated: bool, last: int
) -> None:
    config = SLEGANConfig(checkpoint_every=checkpoint_every, sample_every=sample_every, steps_per_call=asked)
    usual = steps_per_call(config, accelerated)
    assert usual == min(asked or (10 if accelerated else 1), checkpoint_every, sample_every)
    trainer = Trainer.__new__(Trainer)
    trainer.config, trainer.evaluation = config, None
    trainer.devices = type("Devices", (), {"accelerated": accelerated})()  # type: ignore[assignment]
    step = 0
    while step < last:
        count = trainer._steps_of_a_call(step, last)
        assert 1 <= count <= usual
        if count < usual:  # something is to be done after it
            assert not all((step + count) % every for every in (checkpoint_every, sample_every)) or step + count == last
        for passed in range(step + 1, step + count):
            assert passed % checkpoint_every and passed % sample_every
        step += count
    assert step == last


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--mixed-precision", "float16"), ("--mixed-precision float16", "bfloat16")),
        (("--devices", "3"), ("--devices 3", "this machine has 1")),
        (("--gradient-accumulation", "3"), ("--gradient-accumulation is 3", "--batch-size 4")),
        (("--gradient-accumulation", "2", "--steps-per-call", "2"), ("exclude each other",)),
        (("--steps-per-call", "0"), ("--steps-per-call is 0",)),
    ],
)
def test_refused_before_any_work(pictures: Any, tmp_path: Any, flags: tuple[str, ...], words: tuple[str, ...]) -> None:
    output = ("--output-folder", tmp_path / "runs", "--batch-size", 4)
    result = run("train", "--data-folder", pictures, *TINY, *output, *flags)
    assert_refused(result, *words)
    assert not (tmp_path / "runs").exists() and "pictures of" not in result.stdout


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "TF_CONFIG is not set"),
        ("{", "TF_CONFIG is not as expected"),
        ('{"cluster": {}}', "TF_CONFIG has no 'worker'"),
        ('{"cluster": {"worker": ["a"]}, "task": {"type": "worker", "index": 0}}', "host:port"),
        ('{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}', "index is 1"),
        ('{"cluster": {"worker": ["a:1"]}, "task": {"type": "chief", "index": 0}}', "'chief'"),
    ],
)
def test_ill_formed_clusters_are_refused(pictures: Any, tmp_path: Any, text: str | None, words: str) -> None:
    environment = {**os.environ, **({"TF_CONFIG": text} if text else {})}
    output = ("--output-folder", tmp_path, "--distributed")
    assert_refused(run("train", "--data-folder", pictures, *TINY, *output, env=environment), words, "--distributed")
