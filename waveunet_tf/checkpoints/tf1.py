"""TF1 checkpoints of the original implementation: their variables and ours."""

from __future__ import annotations

import os
from collections.abc import Mapping

import keras
import numpy as np

from waveunet_tf.checkpoints import arrays
from waveunet_tf.configs.networks import (
    NetworkConfig,
    SpectrogramUNetConfig,
    WaveUNetConfig,
)
from waveunet_tf.errors import InputError
from waveunet_tf.networks import layer_names

_SCOPE = "separator/"
"""Where the original keeps a network's variables."""
_SOLVER = "separator_solver/"
"""Where the original keeps Adam's moments."""


def read_variables(prefix: str | os.PathLike) -> dict[str, np.ndarray]:
    """Reads every variable of a checkpoint.

    Args:
        prefix: The checkpoint's path without `.index`; or an `.npz` of the same
            variables, with `__` for `/` in their names.

    Returns:
        The name of a variable → its value.

    Raises:
        InputError: The checkpoint is missing or cannot be read.
    """
    prefix = os.fspath(prefix)
    if prefix.endswith(".npz"):
        try:
            found = arrays.read_npz(prefix)
        except OSError as error:
            raise InputError(f"{prefix}: must be an .npz of arrays: {error}") from error
        return {name.replace("__", "/"): value for name, value in found.items()}
    if not os.path.exists(f"{prefix}.index"):
        raise InputError(
            f"{prefix}: must be a TF1 checkpoint's prefix, but there is no "
            f"{prefix}.index"
        )
    import tensorflow as tf

    try:
        reader = tf.train.load_checkpoint(prefix)
        names = reader.get_variable_to_shape_map()
        return {name: reader.get_tensor(name) for name in names}
    except (tf.errors.OpError, ValueError, RuntimeError) as error:
        raise InputError(
            f"{prefix}: must be a TF1 checkpoint, but cannot be read: {error}"
        ) from error


def variable_names(config: NetworkConfig) -> dict[str, str]:
    """Maps the variables of a network to the original's.

    The original numbers its layers in the order in which it makes them.

    Args:
        config: The config of the network.

    Returns:
        The path of our variable, such as `down_0/kernel` → the original's name, such
        as `separator/conv1d/kernel`.
    """
    return _NAMES[config.architecture](config)


def _waveform_names(config: WaveUNetConfig) -> dict[str, str]:
    convolutions = [
        *(layer_names.down(level) for level in range(config.num_levels)),
        layer_names.BOTTLENECK,
        *(layer_names.up(level) for level in reversed(range(config.num_levels))),
        *(layer_names.output(source) for source in config.estimated_sources),
    ]
    names = _numbered(convolutions, "conv1d", ("kernel", "bias"))
    if config.upsampling == "learned":
        for number, level in enumerate(reversed(range(config.num_levels))):
            names[f"{layer_names.upsample(level)}/interpolation"] = (
                f"{_SCOPE}interp_{number}"
            )
    return names


def _spectrogram_names(config: SpectrogramUNetConfig) -> dict[str, str]:
    down, up, normalized = [], [], []
    for source in config.sources:
        ours = [
            layer_names.source_down(source, level) for level in range(config.num_levels)
        ]
        ups = [
            layer_names.source_up(source, level)
            for level in reversed(range(config.num_levels - 1))
        ]
        down += ours
        up += [*ups, layer_names.mask(source)]
        normalized += [layer_names.normalization(name) for name in (*ours, *ups)]
    return {
        **_numbered(down, "conv2d", ("kernel", "bias")),
        **_numbered(up, "conv2d_transpose", ("kernel", "bias")),
        **_numbered(
            normalized, "BatchNorm", ("beta", "moving_mean", "moving_variance")
        ),
    }


# Architecture → the function that names its variables.
_NAMES = {
    WaveUNetConfig.architecture: _waveform_names,
    SpectrogramUNetConfig.architecture: _spectrogram_names,
}


def _numbered(layers: list[str], kind: str, parts: tuple[str, ...]) -> dict[str, str]:
    """Maps the variables of layers of one kind, in the original's order.

    Args:
        layers: Our names of the layers.
        kind: The original's name of the kind, such as `conv1d`.
        parts: The variables of each layer, such as `kernel`.
    """
    return {
        f"{layer}/{part}": f"{_SCOPE}{_name(kind, number)}/{part}"
        for number, layer in enumerate(layers)
        for part in parts
    }


def _name(kind: str, number: int) -> str:
    return f"{kind}_{number}" if number else kind


def infer_config(variables: Mapping[str, np.ndarray]) -> dict:
    """Infers fields of the config from the shapes of a checkpoint's variables.

    Args:
        variables: What read_variables returned.

    Returns:
        Fields of the config by name; the `architecture`; and `outputs`, the number of
        output layers, which is the number of sources or one less.

    Raises:
        InputError: The original has no network with such variables.
    """
    if f"{_SCOPE}conv1d/kernel" in variables:
        return _infer_wave_u_net(variables)
    if f"{_SCOPE}conv2d/kernel" in variables:
        return _infer_spectrogram_u_net(variables)
    raise InputError(
        f"must hold {_SCOPE}conv1d/kernel (a Wave-U-Net) or {_SCOPE}conv2d/kernel (its "
        f"U-Net baseline). Received: {', '.join(sorted(variables)[:3]) or 'nothing'}"
    )


def _kernel_shapes(variables: Mapping[str, np.ndarray], kind: str) -> list[tuple]:
    """Returns the kernels' shapes, in order, up to the first that is missing.

    Raises:
        InputError: A kernel has the wrong number of axes.
    """
    rank = {"conv1d": 3, "conv2d": 4}[kind]
    shapes = []
    while (name := f"{_SCOPE}{_name(kind, len(shapes))}/kernel") in variables:
        shapes.append(np.shape(variables[name]))
        if len(shapes[-1]) != rank:
            raise InputError(f"{name} must have {rank} axes. Received: {shapes[-1]}")
    return shapes


def _infer_wave_u_net(variables: Mapping[str, np.ndarray]) -> dict:
    kernels = _kernel_shapes(variables, "conv1d")
    base_filters = kernels[0][-1]
    # Filters grow by base_filters up to the bottleneck, whose number is num_levels.
    num_levels = 0
    while (
        num_levels + 1 < len(kernels)
        and kernels[num_levels + 1][-1] == (num_levels + 2) * base_filters
    ):
        num_levels += 1
    outputs = len(kernels) - (2 * num_levels + 1)
    if num_levels < 1 or outputs < 1:
        raise InputError(
            f"must hold {_SCOPE}conv1d and so on: 2n + 1 layers for n levels, whose "
            f"filters rise by {base_filters} and fall again, then outputs. Received: "
            f"{', '.join(str(kernel[-1]) for kernel in kernels)}"
        )
    return {
        "architecture": WaveUNetConfig.architecture,
        "outputs": outputs,
        "num_levels": num_levels,
        "base_filters": base_filters,
        "down_kernel_size": kernels[0][0],
        "up_kernel_size": kernels[num_levels + 1][0],
        "output_kernel_size": kernels[-1][0],
        "channels": kernels[0][1],
        "upsampling": "learned" if f"{_SCOPE}interp_0" in variables else "linear",
    }


def _infer_spectrogram_u_net(variables: Mapping[str, np.ndarray]) -> dict:
    kernels = _kernel_shapes(variables, "conv2d")
    starts = [number for number, kernel in enumerate(kernels) if kernel[2] == 1]
    num_levels = starts[1] if len(starts) > 1 else len(kernels)
    return {
        "architecture": SpectrogramUNetConfig.architecture,
        "outputs": len(starts),
        "num_levels": num_levels,
        "base_filters": kernels[0][-1],
        "channels": 1,
    }


def check_variables(
    config: NetworkConfig, network: keras.Model, variables: Mapping[str, np.ndarray]
) -> None:
    """Checks that a checkpoint holds exactly the variables of a network.

    Args:
        config: The config of the network.
        network: The network.
        variables: What read_variables returned.

    Raises:
        InputError: A variable is missing, unexpected, of another shape or not finite.
    """
    names = variable_names(config)
    expected = {names[weight.path]: tuple(weight.shape) for weight in network.weights}
    of_training = (_SOLVER, "global_step", "beta1_power", "beta2_power")
    found = {
        name: np.shape(value)
        for name, value in variables.items()
        if not name.startswith(of_training)
    }
    if missing := sorted(set(expected) - set(found)):
        raise InputError(f"lacks {len(missing)} variables, such as {missing[0]}")
    if extra := sorted(set(found) - set(expected)):
        raise InputError(f"has {len(extra)} variables too many, such as {extra[0]}")
    for name, shape in expected.items():
        if found[name] != shape:
            raise InputError(
                f"{name} must be of shape {shape}. Received: {found[name]}"
            )
        _require_finite(name, variables[name])


def _require_finite(name: str, value: np.ndarray) -> None:
    if np.asarray(value).dtype.kind not in "fiu" or not np.isfinite(value).all():
        raise InputError(f"{name} must hold finite numbers, but does not")


def set_weights(
    config: NetworkConfig, network: keras.Model, variables: Mapping[str, np.ndarray]
) -> None:
    """Sets a network's weights from a checkpoint's variables.

    Args:
        config: The config of the network.
        network: The network, whose weights change.
        variables: What read_variables returned.

    Raises:
        InputError: check_variables refuses the variables.
    """
    check_variables(config, network, variables)
    names = variable_names(config)
    for weight in network.weights:
        weight.assign(variables[names[weight.path]])


def set_adam(
    config: NetworkConfig,
    network: keras.Model,
    optimizer: keras.optimizers.Adam,
    variables: Mapping[str, np.ndarray],
) -> int:
    """Sets Adam's moments and step from a checkpoint's variables.

    TF1 keeps the moments of each variable as `separator_solver/<variable>/Adam` and
    `…/Adam_1`, and the training's step as `global_step`.

    Args:
        config: The config of the network.
        network: The network that Adam trains.
        optimizer: Adam, built or not, which changes.
        variables: What read_variables returned.

    Returns:
        The step.

    Raises:
        InputError: A moment or the step is missing, of another shape, or not finite.
    """
    names = variable_names(config)
    optimizer.build(network.trainable_variables)
    if "global_step" not in variables:
        raise InputError("lacks global_step, which Adam's moments need")
    if np.shape(variables["global_step"]):
        raise InputError(
            "global_step must be one number. Received: shape "
            f"{np.shape(variables['global_step'])}"
        )
    _require_finite("global_step", variables["global_step"])
    step = int(variables["global_step"])
    optimizer.iterations.assign(step)
    for weight, first, second in zip(
        network.trainable_variables, optimizer._momentums, optimizer._velocities
    ):
        for moment, slot in ((first, "Adam"), (second, "Adam_1")):
            name = f"{_SOLVER}{names[weight.path]}/{slot}"
            value = variables.get(name)
            if value is None or np.shape(value) != tuple(moment.shape):
                raise InputError(
                    f"{name} must be of shape {tuple(moment.shape)}. Received: "
                    + ("none" if value is None else str(np.shape(value)))
                )
            _require_finite(name, value)
            moment.assign(value)
    return step
