"""The functions of element-wise expressions as ONNX operators.

`FUNCTIONS` has what ONNX has an operator for, or a few; any other function is written as its definition in
`depthwise.compiler.functions`. `PATTERNS` has the expressions that layers write where ONNX has one operator.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from depthwise.arguments import LEAKY_RELU_SLOPE, SELU_ALPHA, SELU_SCALE, SHRINK_THRESHOLD
from depthwise.compiler import functions
from depthwise.compiler.ir.expression import Apply, Constant, Expression, Operand, apply
from depthwise.data.formats.onnx.writing.nodes import Nodes, Tensor

__all__ = ["evaluate"]

Function = Callable[..., Tensor]


def evaluate(nodes: Nodes, expression: Expression, operands: Mapping[int, Tensor]) -> Tensor:
    """Writes the nodes that compute an expression; what occurs twice is computed once."""
    done: dict[Expression, Tensor] = {Operand(index): tensor for index, tensor in operands.items()}
    return _write(nodes, expression, done)


def _write(nodes: Nodes, expression: Expression, done: dict[Expression, Tensor]) -> Tensor:
    if isinstance(expression, Constant):
        return nodes.number(expression.value)
    if expression not in done:
        assert isinstance(expression, Apply), f"{expression} has no value"
        done[expression] = _apply(nodes, expression, done)
    return done[expression]


def _apply(nodes: Nodes, expression: Apply, done: dict[Expression, Tensor]) -> Tensor:
    for pattern in PATTERNS:
        found = pattern(expression)
        if found is not None:
            operator, arguments, attributes = found
            tensors = [_write(nodes, item, done) for item in arguments]
            return nodes.node(operator, *tensors, shape=tensors[0].shape, **attributes)
    function = FUNCTIONS.get(expression.function)
    if function is None:
        definition = functions.KNOWN[expression.function].definition
        assert definition is not None, f"ONNX has nothing for {expression.function}"
        return _write(nodes, definition(expression.arguments), done)
    return function(nodes, *(_write(nodes, item, done) for item in expression.arguments))


# -- functions -------------------------------------------------------------------------------------------------------


def _spread(operator: str) -> Function:
    """An operator of one input or several that are broadcast."""
    return lambda nodes, *inputs: nodes.spread(operator, *inputs)


def _with(operator: str, **attributes: Any) -> Function:
    """An operator of one input with attributes."""
    return lambda nodes, x: nodes.node(operator, x, shape=x.shape, **attributes)


def _clipped(least: float, most: float) -> Function:
    return lambda nodes, x: nodes.node("Clip", x, nodes.number(least), nodes.number(most), shape=x.shape)


def _where(operator: str, negated: bool = False) -> Function:
    """(a, b, x, y) → x where a compares so with b, else y."""

    def write(nodes: Nodes, a: Tensor, b: Tensor, x: Tensor, y: Tensor) -> Tensor:
        chosen = nodes.spread(operator, a, b, boolean=True)
        return nodes.spread("Where", chosen, *((y, x) if negated else (x, y)))

    return write


def _where_negative(nodes: Nodes, a: Tensor, x: Tensor, y: Tensor) -> Tensor:
    return nodes.spread("Where", nodes.spread("Less", a, nodes.number(0.0), boolean=True), x, y)


def _where_unordered(nodes: Nodes, a: Tensor, b: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """x where a or b is NaN, else y."""
    either = (nodes.spread("IsNaN", item, boolean=True) for item in (a, b))
    return nodes.spread("Where", nodes.spread("Or", *either, boolean=True), x, y)


def _multiply_add(nodes: Nodes, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    return nodes.spread("Add", nodes.spread("Mul", a, b), c)


def _expm1_negative(nodes: Nodes, x: Tensor, factor: Tensor) -> Tensor:
    return nodes.spread("Mul", nodes.node("Elu", x, shape=x.shape, alpha=1.0), factor)


def _since(version: int, operator: str, otherwise: Function) -> Function:
    """An operator from a version on; before, the same by others."""

    def write(nodes: Nodes, x: Tensor) -> Tensor:
        return nodes.node(operator, x, shape=x.shape) if nodes.opset >= version else otherwise(nodes, x)

    return write


def _defined(make: Callable[[Expression], Expression]) -> Function:
    """A function of one argument by others."""
    return lambda nodes, x: evaluate(nodes, make(Operand(0)), {0: x})


def _softplus(x: Expression) -> Expression:
    return apply("softplus", x)


def _gelu(nodes: Nodes, x: Tensor) -> Tensor:
    """x · (1 + erf(x / √2)) / 2."""
    inside = nodes.node("Erf", nodes.spread("Mul", x, nodes.number(math.sqrt(0.5))), shape=x.shape)
    return nodes.spread(
        "Mul", x, nodes.spread("Mul", nodes.spread("Add", inside, nodes.number(1.0)), nodes.number(0.5))
    )


def _squareplus(x: Expression) -> Expression:
    return (x + apply("sqrt", x * x + 4.0)) * 0.5


def _sparse_plus(x: Expression) -> Expression:
    inside = apply("max", -1.0, x) + 1.0
    return apply("where_oge", x, 1.0, x, inside * inside * 0.25)


FUNCTIONS: Mapping[str, Function] = {
    "add": _spread("Add"),
    "subtract": _spread("Sub"),
    "multiply": _spread("Mul"),
    "divide": _spread("Div"),
    "negate": _spread("Neg"),
    "fma": _multiply_add,
    "max": _spread("Max"),
    "min": _spread("Min"),
    "maximum": _spread("Max"),
    "minimum": _spread("Min"),
    "abs": _spread("Abs"),
    "sqrt": _spread("Sqrt"),
    "exp": _spread("Exp"),
    "log": _spread("Log"),
    "where_ogt": _where("Greater"),
    "where_olt": _where("Less"),
    "where_oge": _where("GreaterOrEqual"),
    "where_ole": _where("LessOrEqual"),
    # Unordered or so: not the opposite.
    "where_ugt": _where("LessOrEqual", negated=True),
    "where_uge": _where("Less", negated=True),
    "where_oeq": _where("Equal"),
    "where_uno": _where_unordered,
    "where_negative": _where_negative,
    "expm1_negative": _expm1_negative,
    "floor": _spread("Floor"),
    "ceil": _spread("Ceil"),
    "trunc": _defined(lambda x: apply("where_olt", x, 0.0, apply("ceil", x), apply("floor", x))),
    "roundeven": _spread("Round"),
    "erf": _spread("Erf"),
    "linear": lambda nodes, x: x,
    "relu": _with("Relu"),
    "relu6": _clipped(0.0, 6.0),
    "leaky_relu": _with("LeakyRelu", alpha=LEAKY_RELU_SLOPE),
    "elu": _with("Elu", alpha=1.0),
    "celu": _with("Elu", alpha=1.0),
    "selu": _with("Selu", alpha=SELU_ALPHA, gamma=SELU_SCALE),
    "sigmoid": _with("Sigmoid"),
    "hard_sigmoid": _with("HardSigmoid", alpha=1.0 / 6.0, beta=0.5),
    "tanh": _with("Tanh"),
    "softplus": _with("Softplus"),
    "softsign": _with("Softsign"),
    "exponential": _with("Exp"),
    "hard_shrink": _with("Shrink", lambd=SHRINK_THRESHOLD, bias=0.0),
    "soft_shrink": _with("Shrink", lambd=SHRINK_THRESHOLD, bias=SHRINK_THRESHOLD),
    "hard_tanh": _clipped(-1.0, 1.0),
    "log_sigmoid": _defined(lambda x: -_softplus(-x)),
    "mish": _since(18, "Mish", _defined(lambda x: x * apply("tanh", _softplus(x)))),
    "silu": _defined(lambda x: x * apply("sigmoid", x)),
    "hard_silu": _since(14, "HardSwish", _defined(lambda x: x * apply("hard_sigmoid", x))),
    "gelu": _since(20, "Gelu", _gelu),
    "sparse_sigmoid": _with("HardSigmoid", alpha=0.5, beta=0.5),
    "sparse_plus": _defined(_sparse_plus),
    "squareplus": _defined(_squareplus),
    "tanh_shrink": _defined(lambda x: x - apply("tanh", x)),
}

# -- patterns --------------------------------------------------------------------------------------------------------

Found = tuple[str, Sequence[Expression], dict[str, Any]]


def _leaky(expression: Apply) -> Found | None:
    """x where x ≥ 0, else slope · x."""
    match expression:
        case Apply("where_oge", (x, Constant(0.0), y, Apply("multiply", (z, Constant(slope))))) if x == y == z:
            return "LeakyRelu", (x,), {"alpha": slope}
    return None


def _exponential(expression: Apply) -> Found | None:
    """x where x > 0, else alpha · (eˣ − 1)."""
    match expression:
        case Apply(
            "where_ogt",
            (x, Constant(0.0), y, Apply("expm1_negative", (Apply("min", (Constant(0.0), z)), Constant(alpha)))),
        ) if x == y == z:
            return "Elu", (x,), {"alpha": alpha}
    return None


def _thresholded(expression: Apply) -> Found | None:
    """x where x > theta, else 0."""
    match expression:
        case Apply("where_ogt", (x, Constant(theta), y, Constant(0.0))) if x == y:
            return "ThresholdedRelu", (x,), {"alpha": theta}
    return None


def _learned(expression: Apply) -> Found | None:
    """relu(x) − alpha · relu(−x)."""
    match expression:
        case Apply(
            "subtract", (Apply("relu", (x,)), Apply("multiply", (alpha, Apply("relu", (Apply("negate", (y,)),)))))
        ) if x == y and isinstance(alpha, Operand):
            return "PRelu", (x, alpha), {}
    return None


def _limited(expression: Apply) -> Found | None:
    """The larger of x and a limit, at most another."""
    match expression:
        case Apply("min", (Constant(most), Apply("max", (Constant(least), x)))):
            return "Clip", (x, Constant(least), Constant(most)), {}
        case Apply("max", (Constant(0.0), x)):
            return "Relu", (x,), {}
    return None


def _rectifier(expression: Apply) -> Found | None:
    """Keras' ReLU layer of (x, max_value, negative_slope, threshold), where that is one operator."""
    match expression:
        case Apply("relu_layer", (x, Constant(limit), Constant(slope), Constant(0.0))):
            if limit == math.inf:
                return "LeakyRelu", (x,), {"alpha": slope}
            if slope == 0.0:
                return "Clip", (x, Constant(0.0), Constant(limit)), {}
        case Apply("relu_layer", (x, Constant(math.inf), Constant(0.0), Constant(theta))):
            return "ThresholdedRelu", (x,), {"alpha": theta}
    return None


PATTERNS = (_leaky, _exponential, _thresholded, _learned, _limited, _rectifier)
