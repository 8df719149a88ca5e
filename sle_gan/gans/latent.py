"""What SLE-GAN, DCGAN and the lightweight GAN share: one generator of latents, its average, and one discriminator."""

from __future__ import annotations

import functools
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from sle_gan import augment, engine
from sle_gan.config import TrainConfig
from sle_gan.gans.base import GAN, DiscriminatorLosses, LogNames, Phase, update_average
from sle_gan.gans.optimizers import add_gradients, compute_precision, cotangents, make_adam
from sle_gan.gans.overfitting import LECAM, LECAM_LOGS, OVERFITTING, OVERFITTING_LOGS, Augmentation, LeCam
from sle_gan.generation import class_grid, generate_images, spread_classes
from sle_gan.models.network import Network
from sle_gan.pictures import pixels

# A part of what a discriminator minimises: (images uint8, generated images, random numbers, and where pictures have
# labels those of the images, int (B,)) -> losses and logits.
LossPart = Callable[..., DiscriminatorLosses]


class LatentGAN(GAN):
    """A generator that draws images from latents, the average of it that is exported, and a discriminator.

    A subclass says how images are generated and what both networks minimise: `generate_fakes`,
    `discriminator_losses` and `generator_losses`. From the logits that come with its discriminator's losses follow
    D_sign, adaptive augmentation of all that goes through `augment`, and LeCam.

    Where pictures have labels a batch ends with them, and all that takes its images takes them too, as the last
    argument. The images that are generated beside a batch are of its classes.

    Args:
        config: validated settings, with a `latent`.
        make_generator: gives a new generator of the name it is given; called for the average too.
        make_discriminator: gives a new discriminator.
        beta_2: of both networks' Adam.
    """

    config: Any  # of the subclass's own class
    panels: ClassVar[LogNames] = {LECAM: LECAM_LOGS, OVERFITTING: OVERFITTING_LOGS}

    def __init__(
        self,
        config: TrainConfig,
        make_generator: Callable[[str], Any],
        make_discriminator: Callable[[], Any],
        beta_2: float = 0.999,
    ):
        self.config = config
        with compute_precision(config):
            self.generator = make_generator("generator")
            self.discriminator = make_discriminator()
        # Exported and scored in float32, in which it is used after training.
        self.averaged = make_generator("generator_ema")
        self.averaged.set_weights(self.generator.get_weights())
        g_rate, d_rate = config.G_learning_rate, config.D_learning_rate
        self.generator_optimizer = make_adam(config, g_rate, self.generator, "generator_adam", beta_2=beta_2)
        self.discriminator_optimizer = make_adam(
            config, d_rate, self.discriminator, "discriminator_adam", beta_2=beta_2
        )
        self._augmentation = Augmentation(config)
        self._lecams = {"discriminator": LeCam(self.config.lecam)}  # one for each discriminator

    @abstractmethod
    def generate_fakes(self, batch_size: int, random: engine.RandomStream) -> list[Any]:
        """Generated images as the discriminator sees them; the generator is trained through the same ones.

        Returns:
            The arguments that the discriminator is called with, each a batch of images.
        """

    @abstractmethod
    def discriminator_losses(self) -> Sequence[LossPart]:
        """The discriminator's losses and logits, in parts that share only its weights.

        The parts are differentiated one after the other, so that the maps of one are freed before the next begins.
        """

    @abstractmethod
    def generator_losses(self, images: Any, fakes: list[Any], random: engine.RandomStream) -> dict[str, Any]:
        """The generator's losses by name; the training images are those that the discriminator was just trained on."""

    @property
    def networks(self) -> dict[str, Network]:
        return {
            "generator": self.generator,
            "discriminator": self.discriminator,
            "generator_ema": self.averaged,
        }

    @property
    def optimizers(self) -> dict[str, Any]:
        return {"generator": self.generator_optimizer, "discriminator": self.discriminator_optimizer}

    @property
    def buffers(self) -> dict[str, keras.Variable]:
        state = [self._augmentation.variables, *(lecam.variables for lecam in self._lecams.values())]
        return {name: variable for variables in state for name, variable in variables.items()}

    @property
    def exports(self) -> dict[str, Network]:
        return {"generator_weights.h5": self.averaged, "discriminator_weights.h5": self.discriminator}

    @property
    def generator_export(self) -> Network:
        return self.averaged

    def train_step(self, batch: engine.Batch, random: engine.RandomStream) -> dict[str, Any]:
        """The phases of one step with one forward pass of the generator for both of them."""
        images, *labels = batch
        self.begin_step(random)
        fakes, pull_generator = self.differentiable_fakes(images.shape[0], random, *labels)
        d_losses = self.update_discriminator(images, [ops.stop_gradient(fake) for fake in fakes], random, *labels)
        g_losses = self.update_generator(images, fakes, pull_generator, random, *labels)
        self.end_step(random)
        return {**g_losses, **d_losses}

    @property
    def phases(self) -> Sequence[Phase]:
        return Phase(("discriminator",), self._discriminator_phase), Phase(("generator",), self._generator_phase)

    def _discriminator_phase(self, batch: engine.Batch, random: engine.RandomStream) -> dict[str, Any]:
        images, *labels = batch
        fakes = self.generate_fakes(images.shape[0], random, *labels)
        return self.update_discriminator(images, fakes, random, *labels)

    def _generator_phase(self, batch: engine.Batch, random: engine.RandomStream) -> dict[str, Any]:
        images, *labels = batch
        fakes, pull_generator = self.differentiable_fakes(images.shape[0], random, *labels)
        return self.update_generator(images, fakes, pull_generator, random, *labels)

    def end_step(self, random: engine.RandomStream) -> None:
        update_average(self.averaged, self.generator, random.step + 1, self.config.ema_decay)
        self._augmentation.end_step(random.step)
        for lecam in self._lecams.values():
            lecam.end_step()

    def differentiable_fakes(
        self, batch_size: int, random: engine.RandomStream, *labels: Any
    ) -> tuple[list[Any], Callable[[Any], Any]]:
        """Generated images, and the pullback of their cotangents to the generator."""
        variables = self.generator.trainable_variables
        return engine.vjp(lambda: self.generate_fakes(batch_size, random, *labels), variables)

    def update_discriminator(
        self, images: Any, fakes: list[Any], random: engine.RandomStream, *labels: Any
    ) -> dict[str, Any]:
        """Updates all discriminators; the augmentation's state follows their logits of real images."""
        found = self._train_discriminator(images, fakes, random, *labels)
        return {**found.losses, **(self._augmentation.observe(found.real) if found.real else {})}

    def _train_discriminator(
        self, images: Any, fakes: list[Any], random: engine.RandomStream, *labels: Any
    ) -> DiscriminatorLosses:
        found, gradients = self._discriminator_gradients(
            "discriminator", self.discriminator_losses(), images, fakes, random, *labels
        )
        penalties, more = self._penalty_and_gradients(images, random)
        if penalties:
            gradients = add_gradients(gradients, more)
        self.discriminator_optimizer.apply(gradients, self.discriminator.trainable_variables)
        return found.joined(DiscriminatorLosses(penalties))

    def _discriminator_gradients(
        self,
        key: str,
        parts: Sequence[LossPart],
        images: Any,
        fakes: list[Any],
        random: engine.RandomStream,
        *labels: Any,
    ) -> tuple[DiscriminatorLosses, list[Any]]:
        """The losses and logits of the discriminator of this name, LeCam's included, and its variables' gradients."""
        variables, lecam, whole = self.networks[key].trainable_variables, self._lecams[key], DiscriminatorLosses({})
        gradients: list[Any] = []

        def minimised(part: LossPart, images: Any, fakes: list[Any]) -> DiscriminatorLosses:
            found = part(images, fakes, random, *labels)
            return found.joined(DiscriminatorLosses(lecam.terms(found.real, found.fake))).detached()

        for part in parts:
            seen = engine.after((images, fakes), gradients)
            found, pull = engine.vjp(functools.partial(minimised, part, *seen), variables)
            more, _ = pull(found.cotangents(cotangents(found.losses, self.optimizers[key])))
            # Waiting keeps TensorFlow from joining this sum with those inside of the gradients, which it does in one
            # order in a single step and in another one in a loop of steps.
            gradients = add_gradients(engine.after(gradients, more), more)
            whole = whole.joined(found)
        lecam.observe(whole.real, whole.fake)
        return whole, gradients

    def _penalty_and_gradients(self, images: Any, random: engine.RandomStream) -> tuple[dict[str, Any], list[Any]]:
        """Losses of the discriminator that are gradients themselves, and what they add to its gradients."""
        del images, random
        return {}, []

    def update_generator(
        self,
        images: Any,
        fakes: list[Any],
        pull_generator: Callable[[Any], Any],
        random: engine.RandomStream,
        *labels: Any,
    ) -> dict[str, Any]:
        def losses(*fakes: Any) -> dict[str, Any]:
            return self.generator_losses(images, list(fakes), random, *labels)

        g_losses, pull_fakes = engine.vjp(losses, (), fakes)
        _, d_fakes = pull_fakes(cotangents(g_losses, self.generator_optimizer))
        gradients, _ = pull_generator(d_fakes)
        self.generator_optimizer.apply(gradients, self.generator.trainable_variables)
        return g_losses

    def draw_latents(self, batch_size: int, random: engine.RandomStream) -> Any:
        return keras.random.normal((batch_size, self.config.latent), seed=random.fold("latents"))

    def mirror(self, images: Any, random: engine.RandomStream) -> Any:
        """Training images uint8 -> float in (-1, 1), each mirrored with probability one half."""
        real = pixels.to_model(images)
        return augment.random_flip(real, random.fold("flip")) if self.config.flip else real

    def augment(self, scales: list[Any], seed: engine.RandomStream) -> list[Any]:
        """DiffAugment with the present probability, the same of every scale of an image."""
        return self._augmentation(scales, seed)

    def generate(self, seeds: Iterable[int]) -> Iterator[np.ndarray]:
        return generate_images(self.averaged, seeds)

    def previews(self, real: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """Samples; of a generator of classes a row of each, the same seeds in every row."""
        classes = getattr(self.averaged, "classes", ())
        if not classes:
            return super().previews(real)
        return {"samples": class_grid(self.averaged, spread_classes(classes))}
