"""How the author nested his models: what files write, and what a graph is made of.

A `ModelTree` is a model as a value: its members (layers and models), and how they are called. `inlined` makes the graph of it,
with the models inside put in their place.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from depthwise.dataclass import dataclass
from depthwise.errors import InvalidArgumentError, ShapeError, describe_value
from depthwise.layers.description import Description
from depthwise.layers.input import InputLayer
from depthwise.network.facts import Shape, describe
from depthwise.network.graph import Call, Graph, LayerPath, Port

__all__ = [
    "Member",
    "ModelTree",
    "TreeCall",
    "TreePort",
    "calls_within",
    "chain",
    "first_path",
    "in_keras_order",
    "inlined",
    "tree_of",
    "with_first",
    "with_shared",
]


@dataclass(frozen=True, order=True)
class TreePort:
    """One output of one call of a member, as Keras writes it: [member, call, output]."""

    member: str
    call: int = 0
    output: int = 0


@dataclass(frozen=True)
class TreeCall:
    """One use of a member: the `index`-th, reading `inputs`."""

    member: str
    index: int
    inputs: tuple[TreePort, ...]


@dataclass(frozen=True)
class ModelTree:
    """A model as its author made it.

    Attributes:
        name: the model's name.
        members: descriptions and models, their names unique, in Keras' order.
        calls: in an order in which each comes after its inputs.
        inputs: what the model takes; the members are `InputLayer`s.
        outputs: what it returns.
        is_sequential: a plain chain.
        output_keys: names under which the outputs are returned, None for a list.
        trainable: what `model.trainable` says; the layers have their own.
        shared: (path, first path) of every layer or model that is the same object as an earlier one: of the outermost tree.
    """

    name: str
    members: tuple["Member", ...]
    calls: tuple[TreeCall, ...]
    inputs: tuple[TreePort, ...]
    outputs: tuple[TreePort, ...]
    is_sequential: bool = False
    output_keys: tuple[str, ...] | None = None
    trainable: bool = True
    shared: tuple[tuple[LayerPath, LayerPath], ...] = ()

    def member(self, name: str) -> "Member":
        return next(member for member in self.members if member.name == name)

    @property
    def input_shapes(self) -> tuple[Shape, ...]:
        inputs = {member.name: member for member in self.members if isinstance(member, InputLayer)}
        return tuple(inputs[port.member].shape for port in self.inputs)


Member = Description | ModelTree


def chain(members: Sequence[Member], name: str, trainable: bool = True) -> ModelTree:
    """A `Sequential` of named members, the first an `InputLayer`."""
    names = [_name(member) for member in members]
    calls = [TreeCall(own, 0, tuple(map(TreePort, names[max(0, i - 1) : i]))) for i, own in enumerate(names)]
    ends = (TreePort(names[0]),), (TreePort(names[-1]),)
    return ModelTree(name, tuple(members), tuple(calls), *ends, is_sequential=True, trainable=trainable)


def calls_within(tree: ModelTree) -> int:
    """How many calls the tree has once its models are put in their place."""
    members = {member.name: member for member in tree.members}
    inside = {name: calls_within(member) for name, member in members.items() if isinstance(member, ModelTree)}
    return sum(inside.get(call.member, 1) for call in tree.calls)


def in_keras_order(tree: ModelTree) -> ModelTree:
    """The same with members and calls in Keras' order, which is topological too.

    `get_weights`, `summary` and the counters in a `.keras` file follow it: by the longest way to an output, deepest first;
    equals by when a walk from the outputs meets them. A member that is called several times stands where its deepest call does.
    """
    if tree.is_sequential:
        return tree
    calls = {(call.member, call.index): call for call in tree.calls}
    met: dict[str, int] = {}
    seen: set[tuple[str, int]] = set()
    stack = [(port.member, port.call) for port in reversed(tree.outputs)]
    while stack:
        item = stack.pop()
        if item not in seen:
            seen.add(item)
            met.setdefault(item[0], len(met))
            stack.extend((port.member, port.call) for port in reversed(calls[item].inputs))
    depth = dict.fromkeys(calls, 0)
    deepest: Counter[str] = Counter()
    for call in reversed(_topological(tree)):
        own = (call.member, call.index)
        # As Keras: a later look at a member's call starts from the depth that the member already has.
        depth[own] = deepest[call.member] = max(depth[own], deepest[call.member])
        for port in call.inputs:
            read = (port.member, port.call)
            depth[read] = max(depth[read], depth[own] + 1)
    members = sorted(tree.members, key=lambda member: (-deepest[_name(member)], met.get(_name(member), -1)))
    ordered = sorted(
        tree.calls, key=lambda call: (-depth[call.member, call.index], met.get(call.member, -1), call.index)
    )
    return replace(tree, members=tuple(members), calls=tuple(ordered))


def _name(member: Member) -> str:
    assert member.name is not None
    return member.name


def _topological(tree: ModelTree) -> list[TreeCall]:
    """The calls, each after its inputs, in the order in which Keras' walk from the outputs leaves them.

    Raises:
        InvalidArgumentError: a circle.
    """
    calls = {(call.member, call.index): call for call in tree.calls}
    order: dict[tuple[str, int], TreeCall] = {}
    entered: set[tuple[str, int]] = set()
    stack = [
        *((item, False) for item in reversed(calls)),
        *(((port.member, port.call), False) for port in reversed(tree.outputs)),
    ]
    while stack:
        item, left = stack.pop()
        if left:
            order[item] = calls[item]
            entered.discard(item)
        elif item in entered:
            raise InvalidArgumentError(f"the layers form a circle through {describe_value(item[0])}")
        elif item not in order:
            entered.add(item)
            stack.append((item, True))
            reads = [(port.member, port.call) for port in reversed(calls[item].inputs)]
            stack.extend((read, False) for read in reads if read not in order)
    return list(order.values())


def first_path(shared: Mapping[LayerPath, LayerPath], path: LayerPath) -> LayerPath:
    """Where the layer at `path` stands first: itself, or one within a model that is used again, may be shared."""
    for end in range(1, len(path) + 1):
        first = shared.get(path[:end])
        if first is not None:
            return first_path(shared, (*first, *path[end:]))
    return path


def with_shared(tree: ModelTree, identity: Mapping[LayerPath, object]) -> ModelTree:
    """The tree with `shared` for the members that have one identity.

    Args:
        identity: what tells the layers and models at these paths apart; others are on their own.
    """
    first: dict[object, LayerPath] = {}
    shared: list[tuple[LayerPath, LayerPath]] = []

    def walk(within: ModelTree, path: LayerPath) -> None:
        for member in within.members:
            own = (*path, _name(member))
            known = first.setdefault(identity.get(own, own), own)
            if known != own:
                shared.append((own, known))
            elif isinstance(member, ModelTree):
                walk(member, own)

    walk(tree, ())
    return replace(tree, shared=tuple(shared))


def inlined(tree: ModelTree) -> Graph:
    """The graph of a tree whose calls are in order.

    Raises:
        ShapeError: a layer that does not fit what comes before it; the message names it.
    """
    inliner = _Inliner(dict(tree.shared))
    outputs = inliner.run(tree, (), None)
    starts = tuple(port.member for port in tree.inputs)
    return Graph(tree.name, tuple(inliner.calls), starts, outputs, tree.is_sequential, tree)


class _Inliner:
    def __init__(self, shared: Mapping[LayerPath, LayerPath]) -> None:
        self.shared = shared
        self.calls: list[Call] = []
        self.shapes: dict[str, Shape] = {}
        self.uses: Counter[LayerPath] = Counter()

    def run(self, tree: ModelTree, path: LayerPath, given: Sequence[str] | None) -> tuple[str, ...]:
        """Adds the calls of one use of a model, which reads `given`; returns the names of those that it gives out."""
        members = {member.name: member for member in tree.members}
        values: dict[TreePort, str] = {}
        if given is not None:
            self._check(tree, path, given)
            values.update(zip(tree.inputs, given))
        for call in tree.calls:
            ports = [TreePort(call.member, call.index)]
            if given is not None and ports[0] in values:
                continue  # an input of a model inside: what it was called on stands in its place
            member = members[call.member]
            reads = [values[port] for port in call.inputs]
            if isinstance(member, ModelTree):
                results = self.run(member, (*path, call.member), reads)
                ports = [TreePort(call.member, call.index, output) for output in range(len(results))]
            else:
                results = (self._call(member, (*path, call.member), reads),)
            values.update(zip(ports, results))
        return tuple(values[port] for port in tree.outputs)

    def _check(self, tree: ModelTree, path: LayerPath, given: Sequence[str]) -> None:
        shapes = tuple(self.shapes[name] for name in given)
        if shapes != tree.input_shapes:
            raise ShapeError(
                f"the model {describe_value('/'.join(path))} takes inputs of the shapes "
                f"{', '.join(map(str, tree.input_shapes))}, got {', '.join(map(str, shapes))}"
            )

    def _call(self, layer: Description, path: LayerPath, reads: Sequence[str]) -> str:
        path = first_path(self.shared, path) if self.shared else path
        while True:
            use = self.uses[path]
            self.uses[path] += 1
            name = "/".join(path) + (f"[{use}]" if use else "")
            if name not in self.shapes:
                break
        facts = describe(layer, [self.shapes[read] for read in reads])
        self.calls.append(Call(name, layer, path, tuple(map(Port, reads)), facts))
        self.shapes[name] = facts.output_shape
        return name


def tree_of(graph: Graph) -> ModelTree:
    """The tree that the graph was made of, or one without nesting for a graph that no model has."""
    if graph.tree is not None:
        return graph.tree
    calls = tuple(TreeCall(call.name, 0, tuple(TreePort(name) for name in call.reads)) for call in graph.calls)
    members = tuple(call.layer for call in graph.calls)
    starts, ends = (tuple(map(TreePort, names)) for names in (graph.inputs, graph.outputs))
    return in_keras_order(ModelTree(graph.name, members, calls, starts, ends, graph.is_sequential))


def with_first(graph: Graph, layer: Description, shape: Shape | None = None) -> Graph:
    """The same network with one more layer behind its one input; the other layers keep their names and weights.

    Args:
        layer: gets its own name with a number where another has it.
        shape: of the input, where the layer changes it.
    """
    tree = tree_of(graph)
    (start,) = tree.inputs
    taken = {str(member.name) for member in tree.members}
    usual = layer.default_name
    name = next(free for free in (usual, *(f"{usual}_{i}" for i in range(1, len(taken) + 2))) if free not in taken)
    own = TreePort(name)

    def behind(ports: Sequence[TreePort]) -> tuple[TreePort, ...]:
        return tuple(own if port == start else port for port in ports)

    members: list[Description | ModelTree] = []
    calls: list[TreeCall] = []
    for member in tree.members:
        if member.name == start.member:
            assert isinstance(member, InputLayer)
            members += [member if shape is None else replace(member, shape=shape), replace(layer, name=name)]
        else:
            members.append(member)
    for call in tree.calls:
        calls.append(replace(call, inputs=behind(call.inputs)))
        if (call.member, call.index) == (start.member, start.call):
            calls.append(TreeCall(name, 0, (start,)))
    return inlined(replace(tree, members=tuple(members), calls=tuple(calls), outputs=behind(tree.outputs)))
