"""What `keras` has and Depthwise has not, name by name, with the reason or what to do instead."""

from collections.abc import Iterable, Mapping

__all__ = ["ABSENT", "absent"]

_FLOAT32 = "all arithmetic is float32"
_CODE = "model.to_json() and load_model describe whole models; parts have get_config() and from_config()"
_SERIES = "cut windows with numpy.lib.stride_tricks.sliding_window_view, and give the arrays to fit"
_SOUND = "read the files with a package for sound, and give the arrays to fit"
_TEXTS = "Depthwise has no layers for texts"
_RANDOM = "use NumPy's numpy.random.default_rng(seed); utils.set_random_seed governs what Depthwise draws itself"
_EPOCHS = "give epochs and steps_per_epoch to fit"
_OLD = "it holds names of Keras 1 and 2; use those of depthwise itself"
_NO_GRAPH = "layers are compiled as a whole, there is no graph to place operations in"

ABSENT: Mapping[str, Mapping[str, str]] = {
    "": {
        "DTypePolicy": _FLOAT32,
        "FloatDTypePolicy": _FLOAT32,
        "Function": "use Model(inputs, outputs)",
        "InputSpec": "layers check the shapes of their inputs by themselves",
        "KerasTensor": "what Input and layers give is depthwise.network.symbolic.SymbolicTensor",
        "Operation": "a network is made of layers",
        "Quantizer": _FLOAT32,
        "RematScope": "maps that the backward pass reads are kept in memory",
        "StatelessScope": "weights are arrays that models own",
        "SymbolicScope": "call layers on the results of Input",
        "Variable": "weights are NumPy arrays: layer.get_weights(), layer.set_weights([…])",
        "device": "everything runs on the CPU, see depthwise.set_threads",
        "distillation": "train on what the larger model's predict gives, with model.train_on_batch or fit",
        "distribution": "one machine's threads work together by themselves, see depthwise.set_threads",
        "dtype_policies": _FLOAT32,
        "export": "model.save('model.keras') writes a file that Keras loads and exports",
        "legacy": _OLD,
        "mixed_precision": _FLOAT32,
        "name_scope": "give names to layers",
        "quantizers": _FLOAT32,
        "remat": "maps that the backward pass reads are kept in memory",
        "tree": "use Python's own lists, tuples and dicts",
        "visualization": "use a package for drawing, such as Matplotlib",
        "wrappers": "models can be pickled and copied, so a class of your own with fit and predict is enough",
    },
    "applications": dict.fromkeys(
        (
            "ConvNeXtBase", "ConvNeXtLarge", "ConvNeXtSmall", "ConvNeXtTiny", "ConvNeXtXLarge", "DenseNet121", "DenseNet169",
            "DenseNet201", "InceptionResNetV2", "InceptionV3", "NASNetLarge", "NASNetMobile", "ResNet101", "ResNet101V2",
            "ResNet152", "ResNet152V2", "ResNet50", "ResNet50V2", "VGG16", "VGG19", "convnext", "densenet",
            "inception_resnet_v2", "inception_v3", "nasnet", "resnet", "resnet50", "resnet_v2", "vgg16", "vgg19",
        ),
        "make it with Keras and give it to depthwise.from_keras, or open its file with depthwise.load_model",
    ),
    "activations": {"sparsemax": "use softmax; Keras' results do not sum to 1"},
    "config": {
        "disable_flash_attention": "Depthwise has no attention",
        "enable_flash_attention": "Depthwise has no attention",
        "is_flash_attention_enabled": "Depthwise has no attention",
        "is_nnx_enabled": "the native code is the only backend",
        "max_epochs": _EPOCHS,
        "max_steps_per_epoch": _EPOCHS,
        "set_backend": "the native code is the only backend",
        "set_max_epochs": _EPOCHS,
        "set_max_steps_per_epoch": _EPOCHS,
    },
    "datasets": {
        "boston_housing": "open its file with numpy.load",
        "california_housing": "open its file with numpy.load",
        "cifar100": "cifar10 is there; open others with numpy.load",
        "imdb": _TEXTS,
        "reuters": _TEXTS,
    },
    "initializers": dict.fromkeys(("STFT", "STFTInitializer", "stft"), "Depthwise has no layers for sound"),
    "losses": {
        "CTC": "it aligns sequences of text or sound",
        "Circle": "it compares the embeddings of all pairs of samples of a batch",
    },
    "optimizers": {
        "MultiOptimizer": "one optimizer moves all weights; set `trainable` of layers and compile again to train parts of a "
        "network differently",
        "OptimizerMap": "one optimizer moves all weights; set `trainable` of layers and compile again to train parts of a "
        "network differently",
        "ScheduleFreeAdamW": "it predicts with other weights than it trains; use AdamW with schedules.CosineDecay, or use_ema=True",
        "legacy": _OLD,
    },
    "preprocessing": {
        "sequence": _TEXTS,
        "text": _TEXTS,
        "text_dataset_from_directory": _TEXTS,
        "timeseries_dataset_from_array": _SERIES,
    },
    "preprocessing.image": {
        "smart_resize": "use utils.load_img(path, target_size=…, keep_aspect_ratio=True), or layers.Resizing in the network",
    },
    "random": dict.fromkeys(
        (
            "SeedGenerator", "beta", "binomial", "categorical", "dropout", "gamma", "normal", "randint", "shuffle",
            "truncated_normal", "uniform",
        ),
        _RANDOM,
    ),
    "saving": {
        "KerasFileEditor": "`depthwise check` shows what a file holds; load_weights reads weights by order or by name",
        "deserialize_keras_object": _CODE,
        "serialize_keras_object": _CODE,
    },
    "utils": {
        "Config": "use a dict",
        "FeatureSpace": "Depthwise takes numbers; encode categories as one-hot vectors with utils.to_categorical",
        "Progbar": "fit, evaluate and predict show their own progress; give verbose=",
        "audio_dataset_from_directory": _SOUND,
        "bounding_boxes": "Depthwise has no layers for boxes",
        "deserialize_keras_object": _CODE,
        "get_source_inputs": "model.inputs has the inputs",
        "legacy": _OLD,
        "serialize_keras_object": _CODE,
        "standardize_dtype": _FLOAT32,
        "text_dataset_from_directory": _TEXTS,
        "timeseries_dataset_from_array": _SERIES,
    },
}  # fmt: skip
"""By module (the package itself is "") and name."""


def absent(module: str, name: str, there: Iterable[str] = ()) -> AttributeError:
    """The error for a name that `depthwise` or one of its modules does not have.

    Args:
        module: as in `ABSENT`. there: the names that it has, which the message lists where the name is none of Keras'.
    """
    full = f"depthwise.{module}" if module else "depthwise"
    reason = ABSENT.get(module, {}).get(name)
    if reason is not None:
        return AttributeError(f"{full}.{name} is not supported: {reason}", name=name)
    return AttributeError(f"module {full!r} has no attribute {name!r}; there are {', '.join(there)}", name=name)
