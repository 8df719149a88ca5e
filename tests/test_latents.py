"""Points, mixing, directions, walks and projection: pure functions of a generator."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import ops
from test_folded import used
from tiny_features import TinyMaps

from sle_gan import Generator, engine
from sle_gan.errors import UserError
from sle_gan.gans.dcgan.networks import DCGANGenerator
from sle_gan.gans.lightweight.networks import LightweightGenerator
from sle_gan.gans.slegan.kernels import GENERATOR_EXCITATIONS as EXCITATIONS
from sle_gan.latents.directions import (
    Move,
    closed_form,
    first_layer,
    moved,
    principal,
    read_directions,
    save_directions,
)
from sle_gan.latents.mixing import mixed_points, mixed_sizes, with_gates
from sle_gan.latents.points import (
    Point,
    check_gates,
    images_of,
    inputs_of,
    parse_seeds,
    points_of,
    read_points,
    save_points,
)
from sle_gan.latents.projection import Search, add_step, film, project, search_steps
from sle_gan.latents.walks import EASINGS, WAYS, walk
from sle_gan.models.folded import TensorOperations, run
from sle_gan.seeds import seeded_latents


@pytest.fixture(scope="module", params=(64, 128))
def generator(request: pytest.FixtureRequest) -> Generator:
    keras.utils.set_random_seed(0)  # few weights: with some draws all gates are 0 or 1
    generator = used(Generator(request.param, width=8, latent=16))
    for layer in generator.excitations.values():  # or all gates are a half
        layer.squeeze.kernel.assign(30 * layer.squeeze.kernel)
        layer.squeeze.u.assign(layer.squeeze.u / 30)
        layer.excite.kernel.assign(30 * layer.excite.kernel)
        layer.excite.u.assign(layer.excite.u / 30)
    return generator


def points(*seeds: int) -> list[Point]:
    return [Point(seeded_latents(seed, 16), seed, name=str(seed)) for seed in seeds]


def unfolded_mix(generator: Generator, content: Point, style: Point) -> np.ndarray:
    """Layer by layer, as the network's own call, the mixed excitations seeing the style's maps."""
    mixed, maps = mixed_sizes(generator.fold()), {}
    for point, last in ((style, False), (content, True)):
        inputs = next(inputs_of(generator, [point]))
        noises = iter([maps[None] for maps in inputs.noise])
        norm = ops.split(generator.norm(generator.project(inputs.latents[None])), 2, -1)
        maps = {**{("style", size): own for size, own in maps.items()}, 4: norm[0] * ops.sigmoid(norm[1])}
        for size in generator.sizes:
            block = generator.up_blocks[str(size)]
            x = block(maps[size // 2], (next(noises), next(noises)) if block.composed else ())
            if size in EXCITATIONS:
                low = EXCITATIONS[size]
                source = maps["style", low] if last and size in mixed else maps[low]
                x = generator.excitations[str(size)](source, x)
            maps[size] = x
    return ops.convert_to_numpy(ops.tanh(generator.to_image(maps[generator.output_resolution])))


def folded_floats(generator, point: Point) -> np.ndarray:
    folded, inputs = generator.fold().on_device(), next(inputs_of(generator, [point]))
    gates = {size: gate[None] for size, gate in inputs.gates.items()}

    def compute(arrays, latents, noise, gates):
        return run(TensorOperations(), folded.stages, arrays, latents, noise, gates, lambda k, g: gates.get(k, g))[0]

    noise = [maps[None] for maps in inputs.noise]
    return ops.convert_to_numpy(engine.compile_function(compute)(folded.arrays, inputs.latents[None], noise, gates))


def test_a_mix_is_that_of_the_unfolded_network(generator: Generator) -> None:
    content, style = points(1, 2)
    folded = generator.fold()
    (mixed,) = mixed_points(folded, [content], [style])
    expected = unfolded_mix(generator, content, style)
    np.testing.assert_allclose(folded_floats(generator, mixed), expected, atol=1e-4)
    plain = unfolded_mix(generator, content, content)
    assert np.abs(expected - plain).max() > 0.01  # the style is seen


def test_a_picture_with_its_own_style_is_itself(generator: Generator) -> None:
    folded, (first, second) = generator.fold(), points(1, 2)
    own = np.stack(list(images_of(folded, [first, second]))).astype(int)
    for strength in (0.0, 1.0, 2.0):
        mixed = np.stack(list(images_of(folded, mixed_points(folded, [first, second], [first, second], strength))))
        mixed = mixed.reshape(2, 2, *own.shape[1:]).astype(int)
        for i in range(2):  # one level: gates from another compiled program differ in their last bits
            assert np.abs(mixed[i, i] - own[i]).max() <= 1
            assert (np.abs(mixed[i, 1 - i] - own[i]).max() <= 1) == (strength == 0)


def test_a_lightweight_generators_gates_are_mixed_too() -> None:
    generator = LightweightGenerator(128, latent=16, fmap_max=8, attn_res_layers=())
    assert mixed_sizes(generator) == [128]
    content, style = with_gates(generator, points(1, 2))
    assert content.gates[128].shape == (generator.gate_widths[128],)
    own = np.stack(list(images_of(generator, points(1)))).astype(int)
    for given_style, differs in ((content, False), (style._replace(gates={128: np.zeros(8, np.float32)}), True)):
        (mixed,) = images_of(generator, mixed_points(generator, [content], [given_style]))
        assert (np.abs(mixed.astype(int) - own[0]).max() > 1) == differs


@pytest.mark.parametrize("model", ("dcgan", "lightweight"))
def test_a_generator_without_gates_has_no_style(model: str) -> None:
    if model == "dcgan":
        generator = DCGANGenerator(32, width=8, latent=16).fold()
    else:
        generator = LightweightGenerator(64, latent=16, fmap_max=8)
    with pytest.raises(UserError, match="no gates"):
        next(mixed_points(generator, points(1), points(2)))


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 5)), min_size=1, max_size=5))
def test_lists_of_seeds(ranges: list[tuple[int, int]]) -> None:
    text = ",".join(f"{first}-{first + more}" if more else str(first) for first, more in ranges)
    assert parse_seeds(text) == [seed for first, more in ranges for seed in range(first, first + more + 1)]


@given(st.text("0123456789,-. x", max_size=8))
def test_what_is_no_list_of_seeds_is_a_name_or_refused(text: str) -> None:
    try:
        seeds = parse_seeds(text)
    except UserError:
        return
    assert seeds is None or (seeds and all(seed >= 0 for seed in seeds))


def test_points_come_back_from_their_file(tmp_path: Path) -> None:
    path = tmp_path / "points.npz"
    written = [point._replace(gates={64: np.full(8, 0.5, np.float32)}) for point in points(3, 4)]
    save_points(written, path)
    for old, new in zip(written, points_of(str(path), 16, "--latents")):
        np.testing.assert_array_equal(old.latents, new.latents)
        np.testing.assert_array_equal(old.gates[64], new.gates[64])
        assert old.noise_seed == new.noise_seed
    np.savez(tmp_path / "bare.npz", latents=np.zeros((2, 16)))  # as a user writes it
    assert read_points(tmp_path / "bare.npz", 16, "--latents")[1].noise_seed == 0


@pytest.mark.parametrize(
    ("arrays", "word"),
    (
        ({"latents": np.zeros((2, 8))}, r"\(2, 8\)"),
        ({"z": np.zeros((2, 16))}, "no array called latents"),
        ({"latents": np.full((2, 16), np.nan)}, "finite"),
        ({"latents": np.zeros((2, 16)), "noise_seeds": np.array([1, -1])}, "noise_seeds"),
        ({"latents": np.zeros((2, 16)), "gates_64": np.zeros((3, 8))}, "gates_64"),
        ({"latents": np.zeros((0, 16))}, r"\(0, 16\)"),
        (None, "no file of latents"),
    ),
)
def test_a_file_that_holds_no_points_is_refused(arrays, word: str, tmp_path: Path) -> None:
    path = tmp_path / "points.npz"
    np.savez(path, **arrays) if arrays else path.write_text("no archive")
    with pytest.raises(UserError, match=word):
        read_points(path, 16, "--latents")


def test_gates_of_another_generator_are_refused(generator: Generator) -> None:
    for size, width in ((64, 3), (99, 8)):
        with pytest.raises(UserError, match=f"maps of {size}"):
            check_gates([Point(np.zeros(16), gates={size: np.zeros(width)})], generator.fold(), "--latents")


NETWORKS: dict[str, Callable[[], Any]] = {
    "slegan": lambda: Generator(64, width=8, latent=16),
    "dcgan": lambda: DCGANGenerator(32, width=8, latent=16),
    "lightweight": lambda: LightweightGenerator(64, latent=16, fmap_max=8),
}


@pytest.fixture(params=NETWORKS)
def network(request: pytest.FixtureRequest) -> Any:
    keras.utils.set_random_seed(0)
    return NETWORKS[request.param]()


def test_the_first_layer_is_the_networks(network) -> None:
    """In the network's own call, what enters the second layer."""
    network = used(network)
    layer = first_layer(network.fold() if hasattr(network, "fold") else network)
    latents = np.stack([point.latents for point in points(1, 2, 3)])
    if isinstance(network, Generator):
        values, gates = ops.split(network.norm(network.project(latents)), 2, -1)
        expected = values * ops.sigmoid(gates)
    elif isinstance(network, DCGANGenerator):
        expected = ops.relu(network.norms[0](ops.reshape(network.project(latents), (3, 4, 4, -1))))
    else:
        values, gates = ops.split(network.norm(network.project(latents)), 2, -1)
        expected = ops.normalize(values * ops.sigmoid(gates), axis=-1)
    expected = ops.convert_to_numpy(ops.reshape(expected, (3, -1)))
    assert expected.std() > 0.01
    np.testing.assert_allclose(layer.maps(latents), expected, atol=1e-5)


def test_directions_are_orderly_unit_vectors(network) -> None:
    layer = first_layer(network.fold() if hasattr(network, "fold") else network)
    matrix = layer.kernel.reshape(16, -1)
    directions = closed_form(layer, 16)
    np.testing.assert_allclose(directions @ directions.T, np.eye(16), atol=1e-5)
    effects = np.linalg.norm(directions @ matrix, axis=1)
    np.testing.assert_allclose(effects, np.linalg.svd(matrix, compute_uv=False), rtol=1e-3)
    components = principal(layer, 3, samples=200)
    np.testing.assert_allclose(np.linalg.norm(components, axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(components, principal(layer, 3, samples=200))


def test_the_principal_direction_is_the_one_that_matters() -> None:
    layer = first_layer(DCGANGenerator(32, width=8, latent=16).fold())
    kernel = layer.kernel.copy()
    kernel[5] *= 30
    assert principal(layer._replace(kernel=kernel), 1, 500)[0, 5] > 0.99


@given(st.integers(1, 999), st.floats(-1000, 1000))
def test_moves(direction: int, length: float) -> None:
    assert Move.parse(f"{direction}:{length:+}") == (direction, length)


@pytest.mark.parametrize("text", ("3", "0:1", "3:", ":2", "x:1", "3:nan", "3:inf", "-1:2", "3:1:2", ""))
def test_what_is_no_move_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="NUMBER:LENGTH"):
        Move.parse(text)


def test_directions_come_back_and_move_points(tmp_path: Path) -> None:
    directions = closed_form(first_layer(NETWORKS["slegan"]().fold()), 3)
    save_directions(directions, "closed-form", tmp_path / "directions.npz")
    read = read_directions(tmp_path / "directions.npz", 16, "--directions")
    np.testing.assert_array_equal(read, directions)
    (point,) = points(4)
    there = moved(point, read, [Move(3, 2.0), Move(1, -1.0)])
    np.testing.assert_allclose(there.latents, point.latents + 2 * directions[2] - directions[0], rtol=1e-5)
    with pytest.raises(UserError, match="K, 8"):
        read_directions(tmp_path / "directions.npz", 8, "--directions")


@given(st.integers(2, 5), st.integers(2, 60), st.sampled_from(WAYS), st.sampled_from(sorted(EASINGS)))
def test_a_walk_has_its_frames_and_starts_at_its_first_point(count: int, frames: int, way: str, easing: str) -> None:
    through = points(*range(count))
    places = list(walk(through, frames, way, easing))
    assert len(places) == frames and {place.noise_seed for place in places} == {0}
    np.testing.assert_array_equal(places[0].latents, through[0].latents)
    if way == "once":
        np.testing.assert_array_equal(places[-1].latents, through[-1].latents)


@pytest.mark.parametrize("easing", EASINGS)
def test_a_walk_passes_every_point_in_time(easing: str) -> None:
    through = points(1, 2, 3)
    for way, order in (("loop", (0, 1, 2)), ("ping-pong", (0, 1, 2, 1))):
        places = list(walk(through, 10 * len(order), way, easing))
        for i, key in enumerate(order):
            np.testing.assert_array_equal(places[10 * i].latents, through[key].latents)
        lengths = np.diff([place.latents for place in [*places, places[0]]], axis=0)
        assert np.linalg.norm(lengths, axis=1).max() < 3  # no jump, at the loop's end neither
    ends = [EASINGS[easing](t) for t in np.linspace(0, 1, 50)]
    assert ends[0] == 0 and ends[-1] == pytest.approx(1) and (np.diff(ends) >= 0).all()


def test_a_walk_takes_gates_along() -> None:
    first, second = (
        point._replace(gates={64: np.full(2, value, np.float32)}) for point, value in zip(points(1, 2), (0.2, 0.6))
    )
    middle = list(walk([first, second], 3, "once"))[1]
    np.testing.assert_allclose(middle.gates[64], 0.4)


def test_the_search_comes_nearer_and_the_film_says_so(network) -> None:
    network = network.fold() if hasattr(network, "fold") else network
    (picture,) = images_of(network, points(123))
    search = Search(candidates=6, starts=2, steps=24, gates=bool(network.gate_widths), noise_seed=123)
    seen = []
    history = project(network, TinyMaps(), picture, search, seen.append)
    assert len(seen) == search.rounds == (39 if network.gate_widths else 27)
    assert seen == sorted(seen, reverse=True) and seen[-1] == history[-1].distance
    assert history[-1].distance < 0.95 * history[0].distance
    assert history[-1].point.noise_seed == 123
    frames = [found.distance for found in film(history, 10)]
    assert len(frames) == 10 and frames == sorted(frames, reverse=True)
    assert (frames[0], frames[-1]) == (history[0].distance, history[-1].distance)


def test_a_search_that_comes_no_nearer_ends() -> None:
    keras.utils.set_random_seed(0)
    network = used(DCGANGenerator(32, width=8, latent=16)).fold()
    (picture,) = images_of(network, points(0))
    seen = []
    # The first candidate is the picture itself.
    search = Search(candidates=1, starts=1, steps=50, patience=3, rate=1e-6)
    history = project(network, TinyMaps(), picture, search, seen.append)
    assert history[0].distance < 1e-2 and len(seen) < 20


@pytest.mark.slow
def test_a_generated_picture_is_found_again() -> None:
    """About as near as its own latents are, whose picture differs from it by rounding."""
    keras.utils.set_random_seed(0)
    network = used(Generator(64, width=8, latent=16)).fold()
    for seed in range(1000, 1010):
        (picture,) = images_of(network, points(seed))
        own = project(network, TinyMaps(), picture, Search(1, 1, 1, seed=seed, noise_seed=seed))[0].distance
        history = project(network, TinyMaps(), picture, Search(noise_seed=seed))
        assert history[-1].distance < 1.5 * own


def test_a_search_goes_on_while_it_is_asked_to(monkeypatch: pytest.MonkeyPatch) -> None:
    keras.utils.set_random_seed(0)
    network = used(Generator(64, width=8, latent=16)).fold()
    (picture,) = images_of(network, points(7))
    search = Search(candidates=8, starts=4, steps=6)
    steps = list(search_steps(network, TinyMaps(), picture, search))
    assert len(steps) == search.rounds
    distances = [found.distance for found in steps]
    assert distances == sorted(distances, reverse=True)
    history: list[Any] = []
    for found in steps:
        add_step(history, found)
    assert [found.step for found in history] == sorted({found.step for found in history})
    assert history[-1].distance == distances[-1]
    rounds = 0

    class Counted(TinyMaps):
        def __call__(self, images: Any) -> Any:
            nonlocal rounds
            rounds += 1
            return super().__call__(images)

    monkeypatch.setattr(engine, "compile_function", lambda function: function)
    some = search_steps(network, Counted(), picture, search)
    for _ in range(3):
        next(some)
    some.close()
    assert rounds == 1 + 3  # the picture's own, and a round for each time that it was asked
