"""`compile`, `fit` and `evaluate` of a model; the work is done by `depthwise.training.loop`, which is imported when first used."""

from typing import TYPE_CHECKING, Any

from depthwise.model.base import GraphWithWeights
from depthwise.model.inputs import is_batches

if TYPE_CHECKING:
    from depthwise.training.history import History

__all__ = ["Trainable"]


class Trainable(GraphWithWeights):
    """What a model does with training; `depthwise.models.Model` is what users make."""

    def _build_for(self, x: Any) -> None:
        """`Sequential` without an input shape takes it from the first data."""

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        run_eagerly: bool = False,
        steps_per_execution: int = 1,
        jit_compile: Any = "auto",
        auto_scale_loss: bool = True,
    ) -> None:
        """Sets what `fit` and `evaluate` use.

        Args:
            optimizer: a name, or one of `depthwise.optimizers`.
            loss: a name, or one of `depthwise.losses`; for several outputs a list, or a dict by `output_names`.
            loss_weights: what each output's loss counts for in the sum: a list, or a dict.
            metrics, weighted_metrics: lists of names or of `depthwise.metrics`; the latter use the sample weights. For several
                outputs a list of lists, or a dict of lists.

        `run_eagerly`, `steps_per_execution`, `jit_compile` and `auto_scale_loss` are accepted for compatibility with Keras and change nothing:
        a step is one native call in any case.
        """
        from depthwise.training import loop

        self.compiled = loop.compile_model(self, optimizer, loss, loss_weights, metrics, weighted_metrics)

    @property
    def optimizer(self) -> Any:
        """What `compile` got, as an object whose numbers can be set; None before."""
        return None if self.compiled is None else self.compiled.optimizer

    @property
    def loss(self) -> Any:
        """What `compile` got; None before."""
        return None if self.compiled is None else self.compiled.loss

    @property
    def metrics_names(self) -> list[str]:
        """What `evaluate` gives, as Keras names it: metrics that `compile` was given are one item, "compile_metrics"."""
        return [] if self.compiled is None else list(self.compiled.metric_set(self.graph).keras_names)

    def reset_metrics(self) -> None:
        """Begins the running values of loss and metrics anew, as `fit`, `evaluate` and the methods for batches do by themselves."""
        if self.compiled is not None and self.built:
            self.compiled.metric_set(self.graph).reset()

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: str | int = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: Any = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: Any = 1,
    ) -> "History":
        """Trains a compiled model.

        Args:
            x: arrays as `predict` takes them, or a sequence or generator of batches (x, y) or (x, y, sample_weight).
            y: labels as the loss takes them; None with batches. For several outputs a list or a dict of such; an output without
                a loss and without metrics may be left out.
            batch_size: samples of a step, 32 by default.
            epochs: the number of the last epoch, from 1: with `initial_epoch=3, epochs=5` two epochs are run.
            verbose: 0 nothing, 1 a bar, 2 a line an epoch, "auto" 1 on a terminal, else 2.
            callbacks: callbacks of `depthwise.callbacks`.
            validation_split: share of the samples, the last ones before shuffling, that are kept for validation.
            validation_data: (x, y), (x, y, sample_weight), or batches.
            shuffle: a new order of the samples (of the batches of a sequence) in each epoch.
            class_weight: {class number: weight}, for models with one output.
            sample_weight: one weight a sample, (samples,), or one for each position of an output (…, channels), (samples, …).
                For several outputs a list or a dict of such; one array (samples,) counts for each of them.
            initial_epoch: the number of the first epoch, from 0.
            steps_per_epoch: steps of an epoch; the next epoch goes on where this one stopped.
            validation_steps, validation_batch_size: the same for the validation.
            validation_freq: validate after every so many epochs, or after the epochs of a list (from 1).

        Returns:
            History: its `history` has every epoch's loss and metrics.

        Raises:
            InvalidDataError, ShapeError, InvalidArgumentError: before the first step; the message says how to fix it. On any
                exception, Ctrl-C too, the model has the weights of the last finished step. InvalidDataError also where x or
                validation_data gives no batches; a generator that runs out later ends the training, or leaves val_ values out.

        >>> import numpy as np
        >>> from depthwise import layers, models
        >>> model = models.Sequential([layers.Dense(1, input_shape=(2,))])
        >>> model.compile("sgd", "mse")
        >>> history = model.fit(np.ones((8, 2)), np.ones(8), epochs=3, verbose=0)
        >>> len(history.history["loss"])
        3
        """
        from depthwise.training import loop

        if x is not None and not is_batches(x):
            self._build_for(x)
        return loop.fit(
            self,
            x,
            y,
            batch_size=batch_size,
            epochs=epochs,
            verbose=verbose,
            callbacks=callbacks,
            validation_split=validation_split,
            validation_data=validation_data,
            shuffle=shuffle,
            class_weight=class_weight,
            sample_weight=sample_weight,
            initial_epoch=initial_epoch,
            steps_per_epoch=steps_per_epoch,
            validation_steps=validation_steps,
            validation_batch_size=validation_batch_size,
            validation_freq=validation_freq,
        )

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: str | int = "auto",
        sample_weight: Any = None,
        steps: int | None = None,
        callbacks: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """Loss and metrics on the data.

        Args:
            x, y, batch_size, verbose, sample_weight, callbacks: as in `fit`.
            steps: batches to take, all by default.
            return_dict: return values by name.

        Returns:
            The loss, or a list of the loss and the metrics, or a dict.

        Raises:
            InvalidDataError, ShapeError, InvalidArgumentError: as in `fit`; the first also where x gives no batches.

        >>> import numpy as np
        >>> from depthwise import layers, models
        >>> model = models.Sequential([layers.Dense(1, kernel_initializer="ones", input_shape=(2,))])
        >>> model.compile(loss="mse")
        >>> model.evaluate(np.ones((8, 2)), np.ones(8), verbose=0)
        1.0
        """
        from depthwise.training import loop

        if x is not None and not is_batches(x):
            self._build_for(x)
        return loop.evaluate(
            self,
            x,
            y,
            batch_size=batch_size,
            verbose=verbose,
            sample_weight=sample_weight,
            steps=steps,
            callbacks=callbacks,
            return_dict=return_dict,
        )

    def train_on_batch(
        self, x: Any, y: Any = None, sample_weight: Any = None, class_weight: Any = None, return_dict: bool = False
    ) -> Any:
        """One training step on the whole of x.

        Args:
            x, y, sample_weight, class_weight: as in `fit`.
            return_dict: return values by name.

        Returns:
            Loss and metrics of the batch, from before the update; as `evaluate` returns them.
        """
        from depthwise.training import loop

        self._build_for(x)
        return loop.train_on_batch(
            self, x, y, sample_weight=sample_weight, class_weight=class_weight, return_dict=return_dict
        )

    def test_on_batch(self, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False) -> Any:
        """Loss and metrics of the whole of x as one batch.

        Args:
            x, y, sample_weight: as in `fit`.
            return_dict: return values by name.

        Returns:
            As `evaluate`.
        """
        from depthwise.training import loop

        self._build_for(x)
        return loop.test_on_batch(self, x, y, sample_weight=sample_weight, return_dict=return_dict)
