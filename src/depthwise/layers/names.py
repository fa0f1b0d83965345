"""Keras' other names of layers, and of the layers that Depthwise does not have the sentence that says why."""

from collections.abc import Mapping

from depthwise.errors import UnsupportedError

__all__ = ["ALIASES", "UNSUPPORTED", "UnsupportedLayerError"]


ALIASES: Mapping[str, str] = {
    "AvgPool1D": "AveragePooling1D",
    "AvgPool2D": "AveragePooling2D",
    "Convolution1D": "Conv1D",
    "Convolution1DTranspose": "Conv1DTranspose",
    "Convolution2D": "Conv2D",
    "Convolution2DTranspose": "Conv2DTranspose",
    "GlobalAvgPool1D": "GlobalAveragePooling1D",
    "GlobalAvgPool2D": "GlobalAveragePooling2D",
    "GlobalMaxPool1D": "GlobalMaxPooling1D",
    "GlobalMaxPool2D": "GlobalMaxPooling2D",
    "MaxPool1D": "MaxPooling1D",
    "MaxPool2D": "MaxPooling2D",
    "SeparableConvolution1D": "SeparableConv1D",
    "SeparableConvolution2D": "SeparableConv2D",
}
"""The same layers under Keras' other names."""


class UnsupportedLayerError(UnsupportedError, AttributeError):
    """A layer of Keras that Depthwise does not have; for `hasattr` and `getattr` it is an attribute that is missing."""


_RECURRENT = "Depthwise runs no recurrent networks; convolutions over sequences (Conv1D) are supported"
_ATTENTION = "Depthwise has no attention; it is made for convolutional networks"
_VOLUMES = "Depthwise runs maps and sequences, not volumes; Conv2D, Conv1D and the like are supported"
_CODE = "it holds code or the layers of another framework, which a native program cannot run"
_WORDS = "Depthwise takes numbers, not words or categories; encode them before, for example as one-hot vectors"
_IMAGES = (
    "Depthwise does not change images in this way; change them before, or with the augmentation layers that it has"
)
_SOUND = "Depthwise computes no spectrograms; compute them before and give them as maps"
_CONFIG = "use layer.get_config() and from_config(), or model.to_json() for a whole model"
_MASKS = "Depthwise passes no masks between layers; cut or pad the samples to one length"

_NAMES: tuple[tuple[str, str], ...] = (
    (
        "LSTM GRU SimpleRNN RNN Bidirectional TimeDistributed ConvLSTM1D ConvLSTM2D ConvLSTM3D LSTMCell GRUCell "
        "SimpleRNNCell StackedRNNCells",
        _RECURRENT,
    ),
    ("Attention AdditiveAttention MultiHeadAttention GroupQueryAttention EinsumDense", _ATTENTION),
    (
        "Conv3D Conv3DTranspose Convolution3D Convolution3DTranspose MaxPooling3D MaxPool3D AveragePooling3D AvgPool3D "
        "GlobalMaxPooling3D GlobalMaxPool3D GlobalAveragePooling3D GlobalAvgPool3D UpSampling3D ZeroPadding3D Cropping3D "
        "SpatialDropout3D",
        _VOLUMES,
    ),
    ("Lambda Wrapper TFSMLayer TorchModuleWrapper JaxLayer FlaxLayer", _CODE),
    (
        "Embedding TextVectorization StringLookup IntegerLookup Hashing HashedCrossing Discretization CategoryEncoding",
        _WORDS,
    ),
    ("MelSpectrogram STFTSpectrogram", _SOUND),
    ("Masking", _MASKS),
    ("ReversibleEmbedding", _WORDS),
    ("SpectralNormalization", "it changes another layer's weights while it runs, which a native program cannot do"),
    ("Pipeline", "call its layers one after the other"),
    (
        "AugMix AutoContrast ContrastLimitedAdaptiveHistogramEqualization CutMix Equalization MaxNumBoundingBoxes MixUp "
        "RandAugment RandomColorDegeneration RandomColorJitter RandomElasticTransform RandomErasing RandomGaussianBlur "
        "RandomGrayscale RandomHue RandomInvert RandomPerspective RandomPosterization RandomSaturation RandomSharpness "
        "RandomShear Solarization",
        _IMAGES,
    ),
    (
        "AdaptiveAveragePooling1D AdaptiveAveragePooling2D AdaptiveMaxPooling1D AdaptiveMaxPooling2D",
        "choose pool_size and strides for the size of the maps, or use the global pooling layers",
    ),
    ("InputSpec", "layers check the shapes of their inputs by themselves"),
    ("deserialize", _CONFIG),
    ("serialize", _CONFIG),
    (
        "AdaptiveAveragePooling3D AdaptiveMaxPooling3D",
        _VOLUMES,
    ),
)

UNSUPPORTED: Mapping[str, str] = {name: reason for names, reason in _NAMES for name in names.split()}
"""Why there is no such layer, by its name in Keras."""
