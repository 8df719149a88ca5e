"""CycleGAN: translation between two sets of images without pairs (arXiv 1703.10593)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import keras
import numpy as np
from keras import ops

from sle_gan import augment, engine, losses
from sle_gan.config import CHANNELS
from sle_gan.errors import UserError
from sle_gan.gans.base import GAN, DiscriminatorLosses, LogNames, Phase
from sle_gan.gans.cyclegan.config import CycleGANConfig
from sle_gan.gans.cyclegan.image_pool import ImagePool
from sle_gan.gans.cyclegan.networks import PatchDiscriminator, ResNetGenerator
from sle_gan.gans.optimizers import add_gradients, compute_precision, cotangents, make_adam
from sle_gan.gans.overfitting import OVERFITTING, OVERFITTING_LOGS, Augmentation
from sle_gan.models.network import Network
from sle_gan.pictures import make_grid, pixels
from sle_gan.translation import translate_batches

# Loss of real logits, of generated ones, and of generated ones that are to pass for real.
_LOSSES = {
    "lsgan": (losses.least_squares_real, losses.least_squares_fake, losses.least_squares_generator),
    "hinge": (losses.hinge_real, losses.hinge_fake, losses.hinge_generator),
}
# The logit that separates real from generated: half way between the targets 0 and 1, or between the margins.
_BOUNDARIES = {"lsgan": 0.5, "hinge": 0.0}


class Way(NamedTuple):
    """One direction of translation, with the discriminator of its results.

    source, target: domains, "A" and "B" or the other way round.
    there, back: the generators of this way and of the other one.
    discriminator, optimizer, pool, augmentation: of the target domain.
    """

    source: str
    target: str
    there: ResNetGenerator
    back: ResNetGenerator
    discriminator: PatchDiscriminator
    optimizer: Any
    pool: ImagePool
    augmentation: Augmentation


class LinearDecay(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate that stays until a step and then falls to zero in a straight line.

    It is computed from the optimizer's own count of steps, which a checkpoint holds: a resumed run has the rates
    of one that was never stopped.
    """

    def __init__(self, rate: float):
        self.rate = rate
        self.start = self.end = 0  # no decay

    def __call__(self, step: Any) -> Any:
        if self.end <= self.start:
            return ops.convert_to_tensor(self.rate, keras.config.floatx())
        passed = (ops.cast(step, keras.config.floatx()) - self.start) / (self.end - self.start)
        return self.rate * (1.0 - ops.clip(passed, 0.0, 1.0))

    def get_config(self) -> dict[str, Any]:
        return {"rate": self.rate}


class CycleGAN(GAN):
    """Two generators, from A to B and from B to A, and a discriminator for each domain.

    Args:
        config: validated settings.
    """

    config: CycleGANConfig
    # Translations from A to B are compared with the images of B. MiFID finds generators that copy images of B.
    reference_domain = 1
    metrics = ("fid", "mifid")
    totals: ClassVar[LogNames] = {**GAN.totals, "cycle": ("cycle",), "same": ("identity",)}
    panels: ClassVar[LogNames] = {"reconstruction losses": ("cycle", "identity"), OVERFITTING: OVERFITTING_LOGS}

    def __init__(self, config: CycleGANConfig):
        self.config = config
        channels = CHANNELS[config.channels]
        size: dict[str, Any] = {"width": config.width, "channels": channels}
        with compute_precision(config):
            self.a_to_b = ResNetGenerator(config.blocks, name="generator_AB", **size)
            self.b_to_a = ResNetGenerator(config.blocks, name="generator_BA", **size)
            discriminators = {domain: PatchDiscriminator(name=f"discriminator_{domain}", **size) for domain in "AB"}
        # One optimizer for both generators, as every cycle is a loss of both.
        self.rates = [LinearDecay(rate) for rate in (config.G_learning_rate, config.D_learning_rate)]
        betas = (config.beta_1, config.beta_2)
        self.generator_optimizer = make_adam(
            config, self.rates[0], (self.a_to_b, self.b_to_a), "generators_adam", *betas
        )
        ways = []
        for source, target, there, back in (("A", "B", self.a_to_b, self.b_to_a), ("B", "A", self.b_to_a, self.a_to_b)):
            discriminator = discriminators[target]
            optimizer = make_adam(config, self.rates[1], discriminator, f"{discriminator.name}_adam", *betas)
            pool = ImagePool(config.pool_size, (config.resolution, config.resolution, channels), f"pool_{target}")
            # Each discriminator has its own probability: the domains differ in size.
            augmentation = Augmentation(config, f"augmentation_{target}")
            ways.append(Way(source, target, there, back, discriminator, optimizer, pool, augmentation))
        self.ways = tuple(ways)

    def usage(self, run: Path) -> tuple[str, dict[str, Any]]:
        flags = {"weights": run, "direction": "AB", "input": self.config.data_folder, "output_folder": "out"}
        return "translate", flags

    def schedule(self, steps_per_epoch: float, last_step: int) -> None:
        for rate in self.rates:
            rate.start, rate.end = round(self.config.decay_epoch * steps_per_epoch), last_step

    @property
    def networks(self) -> dict[str, Network]:
        return {
            network.name: network for network in (self.a_to_b, self.b_to_a, *(way.discriminator for way in self.ways))
        }

    @property
    def trained(self) -> dict[str, Network]:
        return self.networks

    @property
    def optimizers(self) -> dict[str, Any]:
        return {"generators": self.generator_optimizer, **{way.discriminator.name: way.optimizer for way in self.ways}}

    @property
    def buffers(self) -> dict[str, keras.Variable]:
        state = [each.variables for way in self.ways for each in (way.pool, way.augmentation)]
        return {name: variable for variables in state for name, variable in variables.items()}

    @property
    def exports(self) -> dict[str, Network]:
        return {f"{name}_weights.h5": network for name, network in self.networks.items()}

    @property
    def generator_export(self) -> Network:
        return self.a_to_b

    def train_step(self, batch: engine.Batch, random: engine.RandomStream) -> dict[str, Any]:
        """The phases of one step with one forward pass of the generators for both of them.

        The two ways share only the generators' weights. They run one after the other, so that the maps of one are
        freed before the other begins.
        """
        self.begin_step(random)
        images, logs, gradients = self._prepare(batch, random), {}, {}
        for way in self.ways:
            images = engine.after(images, gradients)
            fakes, pull = self._differentiable_fakes(way, images)
            logs |= self._update_discriminator(way, images, ops.stop_gradient(fakes), random)
            logs |= self._add_gradients(gradients, way, images, fakes, pull, random)
        self._update_generators(gradients)
        self.end_step(random)
        return logs

    @property
    def phases(self) -> Sequence[Phase]:
        names = tuple(way.discriminator.name for way in self.ways)
        return Phase(names, self._discriminator_phase), Phase(("generators",), self._generator_phase)

    def _discriminator_phase(self, batch: engine.Batch, random: engine.RandomStream) -> dict[str, Any]:
        images, logs = self._prepare(batch, random), {}
        for way in self.ways:
            logs |= self._update_discriminator(way, images, way.there(images[way.source]), random)
        return logs

    def _generator_phase(self, batch: engine.Batch, random: engine.RandomStream) -> dict[str, Any]:
        images, logs, gradients = self._prepare(batch, random), {}, {}
        for way in self.ways:
            images = engine.after(images, gradients)
            logs |= self._add_gradients(gradients, way, images, *self._differentiable_fakes(way, images), random)
        self._update_generators(gradients)
        return logs

    def end_step(self, random: engine.RandomStream) -> None:
        for way in self.ways:
            way.augmentation.end_step(random.step)

    def _prepare(self, batch: engine.Batch, random: engine.RandomStream) -> dict[str, Any]:
        """uint8 images of both domains -> float in (-1, 1), mirrored at random."""
        images = {domain: pixels.to_model(images) for domain, images in zip("AB", batch)}
        if self.config.flip:
            images = {key: augment.random_flip(value, random.fold(f"flip {key}")) for key, value in images.items()}
        return images

    def _differentiable_fakes(self, way: Way, images: dict[str, Any]) -> tuple[Any, Callable[..., Any]]:
        """Translations, and the pullback of their cotangents to their generator."""
        return engine.vjp(lambda: way.there(images[way.source]), way.there.trainable_variables)

    def _update_discriminator(
        self, way: Way, images: dict[str, Any], fakes: Any, random: engine.RandomStream
    ) -> dict[str, Any]:
        domain = way.target
        pooled = way.pool.exchange(fakes, random.fold(f"pool {domain}"))
        real_loss, fake_loss, _ = _LOSSES[self.config.gan_loss]
        # The discriminator sees every image apart from the others: both batches may go through as one.
        both = ops.concatenate(
            [
                *way.augmentation([images[domain]], random.fold(f"augment real {domain}")),
                *way.augmentation([pooled], random.fold(f"augment pooled {domain}")),
            ]
        )

        def discriminator_losses() -> DiscriminatorLosses:
            real, fake = ops.split(way.discriminator(both), 2)
            d_losses = {f"real_{domain}": real_loss(real), f"fake_{domain}": fake_loss(fake)}
            return DiscriminatorLosses(d_losses, [real], [fake]).detached()

        found, pull = engine.vjp(discriminator_losses, way.discriminator.trainable_variables)
        gradients, _ = pull(found.cotangents(cotangents(found.losses, way.optimizer)))
        way.optimizer.apply(gradients, way.discriminator.trainable_variables)
        observed = way.augmentation.observe(found.real, _BOUNDARIES[self.config.gan_loss])
        return {**found.losses, **{f"{name}_{domain}": value for name, value in observed.items()}}

    def _add_gradients(
        self,
        gradients: dict[str, list[Any]],
        way: Way,
        images: dict[str, Any],
        fakes: Any,
        pull_there: Callable[..., Any],
        random: engine.RandomStream,
    ) -> dict[str, Any]:
        """Adds one way's share of the generators' gradients, by name; returns its losses."""
        source = images[way.source]

        def generator_losses(fakes: Any) -> dict[str, Any]:
            logits = way.discriminator(*way.augmentation([fakes], random.fold(f"augment fake {way.target}")))
            return {
                f"generator_{way.source}{way.target}": _LOSSES[self.config.gan_loss][2](logits),
                f"cycle_{way.source}": losses.l1(way.back(fakes), source),
            }

        terms, pull = engine.vjp(generator_losses, way.back.trainable_variables, [fakes])
        d_back, (d_fakes,) = pull(self._weighted(terms))
        self._add(gradients, way.back, d_back)
        self._add(gradients, way.there, pull_there(d_fakes)[0])
        if self.config.identity_weight > 0:
            (target,) = engine.after([images[way.target]], gradients)
            same, pull = engine.vjp(
                lambda: {f"identity_{way.target}": losses.l1(way.there(target), target)}, way.there.trainable_variables
            )
            self._add(gradients, way.there, pull(self._weighted(same))[0])
            terms = {**terms, **same}
        return terms

    def _weighted(self, terms: dict[str, Any]) -> dict[str, Any]:
        weights = {"generator": 1.0, "cycle": self.config.cycle_weight, "identity": self.config.identity_weight}
        return {
            name: weights[name.split("_")[0]] * value
            for name, value in cotangents(terms, self.generator_optimizer).items()
        }

    @staticmethod
    def _add(gradients: dict[str, list[Any]], network: Network, more: list[Any]) -> None:
        gradients[network.name] = add_gradients(gradients.get(network.name, ()), more)

    def _update_generators(self, gradients: dict[str, list[Any]]) -> None:
        variables = self.a_to_b.trainable_variables + self.b_to_a.trainable_variables
        self.generator_optimizer.apply(gradients[self.a_to_b.name] + gradients[self.b_to_a.name], variables)

    def generate(self, seeds: Iterable[int]) -> Iterator[np.ndarray]:
        raise UserError("a CycleGAN makes no pictures from seeds, it translates: use sle-gan translate")

    def scored_images(self, count: int, domains: Sequence[np.ndarray]) -> Iterator[np.ndarray]:
        """Translations of A's first `count` images; of all, where there are fewer."""
        images = domains[0][:count]
        yield from translate_batches(self.a_to_b, images)

    def previews(self, real: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """For each domain: its images, their translations, and those translated back, below each other."""
        grids = {}
        for name, images, there, back in (
            ("A_to_B", real[0], self.a_to_b, self.b_to_a),
            ("B_to_A", real[1], self.b_to_a, self.a_to_b),
        ):
            rows = [images]
            for generator in (there, back):
                rows.append(np.concatenate(list(translate_batches(generator, rows[-1]))))
            grids[name] = make_grid(np.concatenate(rows), columns=len(images))
        return grids
