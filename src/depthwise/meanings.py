"""What arguments mean that many classes and functions share; see `depthwise.documentation`."""

from collections.abc import Mapping
from typing import Any

__all__ = ["APPLICATIONS", "ARRAYS", "INITIALIZERS", "LOSSES", "METRICS", "OPTIMIZERS", "SCHEDULES", "SETTINGS"]

_DTYPE = "None or float32: all arithmetic is float32."
_CONFIG = {"config": "what `serialize` gave, here or in Keras; or a name."}

LOSSES: Mapping[str, Any] = {
    "y_true": "the labels, (samples, …): class numbers for sparse losses, else in the shape of y_pred.",
    "y_pred": "what the network predicts, (samples, …, outputs).",
    "reduction": "how one number is made of the samples' losses: `sum_over_batch_size` (their mean), `sum`, "
    "`mean_with_sample_weight`, or `none`, which keeps them.",
    "name": "what the loss is called in logs.",
    "dtype": _DTYPE,
    "from_logits": "whether y_pred is before the last activation (softmax, or sigmoid).",
    "label_smoothing": "from 0 to 1: the share of each label that is spread over all classes evenly.",
    "axis": "the axis of the classes; for sums over whole maps the axes that are summed over. -1 is the last.",
    "ignore_class": "a class number that counts for nothing; None for none.",
    "alpha": "the weight of the positive class, or of each class.",
    "gamma": "how much less the samples count that are predicted well already; 0 for no difference.",
    "apply_class_balancing": "whether alpha weighs the classes.",
    "q": "between 0, where it is the cross-entropy, and 1, where it is the absolute error.",
    "delta": "the error from which on the loss grows linearly.",
    "smooth": "added to both sides of the fraction, so that nothing is divided by 0.",
    "beta": "the weight of what was missed.",
    **_CONFIG,
}

METRICS: Mapping[str, Any] = {
    **LOSSES,
    "name": "what the metric is called in logs; None for its class's name in lower case.",
    "axis": "the axis of the classes, or of the vectors that are compared; -1 is the last.",
    "threshold": "predictions above it count as positive; for None, the largest one of a sample.",
    "thresholds": "predictions above it count as positive: a number, 0.5 by default, or a list for a value each.",
    "num_thresholds": "how many thresholds, evenly spread from 0 to 1, are tried.",
    "class_id": "the only class that counts; None for all.",
    "top_k": "count the k largest predictions of a sample as positive; None to compare with the thresholds.",
    "num_classes": "how many classes there are.",
    "target_class_ids": "the classes whose values are averaged.",
    "sparse_y_true": "whether the labels are class numbers, not one-hot.",
    "sparse_y_pred": "whether the predictions are class numbers, not one score for each class.",
    "identifier": "a name, a class, a configuration, or a metric itself.",
}

OPTIMIZERS: Mapping[str, Any] = {
    "learning_rate": "a number, or a schedule of `depthwise.optimizers.schedules`.",
    "weight_decay": "what share of each trainable weight (times the learning rate) is taken away in each step, apart from the "
    "gradient; None for none.",
    "clipnorm": "the largest norm of one weight's gradient, which is scaled down to it; None for no limit.",
    "clipvalue": "the largest size of each number of a gradient; None for no limit.",
    "global_clipnorm": "the largest norm of all gradients together; None for no limit.",
    "use_ema": "keep a moving average of each weight; after `fit` the weights are these averages.",
    "ema_momentum": "how slowly the average forgets, from 0 to 1.",
    "ema_overwrite_frequency": "replace the weights by their averages after every so many steps, too; None for never.",
    "loss_scale_factor": "accepted for compatibility with Keras; in float32 it changes nothing.",
    "gradient_accumulation_steps": "move the weights after every so many steps only, by the mean of their gradients; None for "
    "every step.",
    "name": "accepted for compatibility with Keras.",
    **_CONFIG,
}

SCHEDULES: Mapping[str, Any] = {
    "name": "accepted for compatibility with Keras.",
    "identifier": "a schedule, or its configuration.",
}

INITIALIZERS: Mapping[str, Any] = {
    "seed": "of the random numbers: the same seed gives the same weights; None follows `utils.set_random_seed`.",
    "mean": "the mean of the distribution.",
    "stddev": "the standard deviation of the distribution.",
    "mode": "what the variance is divided by: `fan_in`, `fan_out` or `fan_avg`, the inputs or outputs of one number.",
    "distribution": "`truncated_normal`, `untruncated_normal` or `uniform`.",
    **_CONFIG,
}

APPLICATIONS: Mapping[str, Any] = {
    "input_shape": "(height, width, channels) of one image.",
    "alpha": "the share of the paper's filters.",
    "include_top": "end in classes, not in maps.",
    "weights": "`imagenet` from Keras' cache folder or downloaded, None for new ones, or the path of a file.",
    "input_tensor": "a symbolic tensor to start from, in place of a new input.",
    "pooling": "without a top: None for maps, `avg` or `max` for their means or maxima.",
    "classes": "with a top: how many.",
    "classifier_activation": "of the last layer; None for logits.",
    "dropout_rate": "share of the values that are dropped before the last layer, in training.",
    "include_preprocessing": "whether the network scales values from 0 to 255 itself.",
    "minimalistic": "leave out squeeze-and-excite, 5×5 kernels and hard swish.",
    "name": "the model's name; None for the usual one.",
}

ARRAYS: Mapping[str, Any] = {
    "x": "numbers: an array, or anything that NumPy makes one of.",
    "axis": "the axis that is worked along; -1 is the last. None, where it is allowed, takes all numbers together.",
    "keepdims": "keep the axes that are summed over, with size 1.",
    "dtype": "the type of the result, such as float32; None keeps the usual one.",
    "sparse": "None or False: all arrays are dense.",
    "approximate": "whether tanh is used in place of the normal distribution.",
    "targets": "class numbers, (samples,).",
    "ord": "which norm, as in `numpy.linalg.norm`; None for the root of the sum of squares.",
    "num_classes": "how many classes there are.",
    "sorted": "True: the result comes in order in any case.",
    "num": "how many parts there are; None counts them.",
    "activation": "a function of this module.",
    "identifier": "a name, a function, or None.",
    "scale": "accepted as in Keras: values that are no colours are brought to 0 to 255 for the change, and back.",
    "channel_axis": "accepted as in Keras; it changes nothing.",
    **_CONFIG,
}

SETTINGS: Mapping[str, Any] = {
    "free_memory": "accepted as in Keras.",
    "x": "an array, or a symbolic tensor.",
    "policy": "float32.",
    "value": "what to set.",
    "data_format": "channels_last.",
    "obj": "a class or function.",
    "custom_objects": "names and what they mean, looked at first; None for none.",
    "data": "a batch: x alone, (x, y), or (x, y, sample_weight).",
    "model": "the model.",
    "filepath": "where the file is, or goes.",
    "skip_mismatch": "leave out the layers whose shapes differ, with a warning.",
    "overwrite": "whether an existing file is replaced.",
    "show_shapes": "write the shapes of inputs and outputs.",
    "show_dtype": "write the types of numbers.",
    "show_layer_names": "write the layers' names.",
    "rankdir": "TB from top to bottom, LR from left to right.",
    "expand_nested": "draw the layers of models inside, instead of one box for each.",
    "show_layer_activations": "write the activations.",
    "show_trainable": "write which layers training changes.",
    **_CONFIG,
}
