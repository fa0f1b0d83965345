"""Layers and options of Keras that Depthwise does not have: since which Keras there are any, and what kind of thing they are."""

from collections.abc import Mapping

from depthwise.dataclass import dataclass

__all__ = ["ORIGINS", "Origin"]


@dataclass(frozen=True)
class Origin:
    """Where a name in a file comes from.

    Attributes:
        since: the first Keras that had it: "Keras 1", "Keras 2", "tf.keras 2" or "Keras 3".
        kind: what it is; the messages `command.refused.kind` say it in words.
    """

    since: str
    kind: str


_NAMES = (
    ("Keras 1", "recurrent", "LSTM GRU SimpleRNN ConvLSTM2D"),
    ("Keras 1", "recurrent_wrapper", "Bidirectional TimeDistributed"),
    ("Keras 2", "recurrent", "RNN LSTMCell GRUCell SimpleRNNCell StackedRNNCells CuDNNLSTM CuDNNGRU"),
    ("tf.keras 2", "recurrent", "ConvLSTM1D ConvLSTM3D"),
    ("tf.keras 2", "attention", "Attention AdditiveAttention MultiHeadAttention"),
    ("Keras 3", "attention", "GroupQueryAttention"),
    ("tf.keras 2", "einsum", "EinsumDense"),
    (
        "Keras 1",
        "volume",
        "Convolution3D MaxPooling3D AveragePooling3D GlobalMaxPooling3D GlobalAveragePooling3D UpSampling3D ZeroPadding3D "
        "Cropping3D SpatialDropout3D",
    ),
    ("Keras 2", "volume", "Conv3D Conv3DTranspose"),
    ("Keras 1", "code", "Lambda"),
    ("tf.keras 2", "operation", "TFOpLambda SlicingOpLambda TensorFlowOpLayer"),
    ("Keras 3", "code", "TFSMLayer TorchModuleWrapper JaxLayer FlaxLayer"),
    ("Keras 1", "embedding", "Embedding"),
    (
        "tf.keras 2",
        "encoding",
        "TextVectorization StringLookup IntegerLookup Hashing HashedCrossing Discretization CategoryEncoding",
    ),
    ("Keras 3", "embedding", "ReversibleEmbedding"),
    ("Keras 1", "masking", "Masking"),
    ("Keras 1", "local", "LocallyConnected1D LocallyConnected2D"),
    ("Keras 1", "maxout", "MaxoutDense Highway"),
    ("Keras 3", "sound", "MelSpectrogram STFTSpectrogram"),
    ("Keras 3", "root_mean_square", "rms_scaling"),
    ("tf.keras 2", "spectral", "SpectralNormalization"),
    (
        "Keras 3",
        "adaptive",
        "AdaptiveAveragePooling1D AdaptiveAveragePooling2D AdaptiveMaxPooling1D AdaptiveMaxPooling2D AdaptiveAveragePooling3D "
        "AdaptiveMaxPooling3D",
    ),
    (
        "Keras 3",
        "images",
        "AugMix AutoContrast ContrastLimitedAdaptiveHistogramEqualization CutMix Equalization MixUp RandAugment "
        "RandomColorDegeneration RandomColorJitter RandomElasticTransform RandomErasing RandomGaussianBlur RandomGrayscale RandomHue "
        "RandomInvert RandomPerspective RandomPosterization RandomSaturation RandomSharpness RandomShear Solarization",
    ),
    ("tf.keras 2", "renorm", "renorm virtual_batch_size"),
    ("tf.keras 2", "groups", "groups"),
    ("tf.keras 2", "dtype", "dtype"),
    ("tf.keras 2", "ragged", "ragged sparse"),
    ("Keras 3", "quantised", "quantization_config quantization_mode"),
    ("Keras 3", "lora", "lora_rank lora_alpha"),
    ("Keras 1", "activity", "activity_regularizer"),
    ("Keras 3", "gated", "glu"),
    ("Keras 3", "sparse_softmax", "sparsemax"),
)

ORIGINS: Mapping[str, Origin] = {name: Origin(since, kind) for since, kind, names in _NAMES for name in names.split()}
"""By the name of a layer's class, of an option or of an activation."""
