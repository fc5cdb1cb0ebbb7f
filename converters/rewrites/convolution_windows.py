"""Places of a convolution's windows along one axis, with ``same`` as TensorFlow has it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from keras import KerasTensor, layers


@dataclass(frozen=True)
class Windows:
    """Windows along one axis. The first begins ``before`` positions in front of the tensor."""

    size: int | None
    """Positions of the tensor; None if free."""
    kernel: int
    stride: int
    dilation: int
    is_same: bool
    """True if the padding is ``same``, False if it is ``valid``."""

    @property
    def extent(self) -> int:
        """Positions from the first to the last that one window reads."""
        return (self.kernel - 1) * self.dilation + 1

    @property
    def count(self) -> int | None:
        """Number of windows; None if free."""
        if self.size is None:
            return None
        return -(-(self.size if self.is_same else self.size - self.extent + 1) // self.stride)

    @property
    def before(self) -> int | None:
        """Zeros in front of the tensor; None if they depend on a free size."""
        if not self.is_same:
            return 0
        if self.stride == 1:
            return (self.extent - 1) // 2
        if self.size is None or self.count is None:
            return None
        return max((self.count - 1) * self.stride + self.extent - self.size, 0) // 2

    def strided(self, factor: int) -> Windows:
        """Return windows of the same kind with a longer stride. They may lie elsewhere."""
        return replace(self, stride=self.stride * factor)

    def zeros_for(self, factor: int) -> tuple[int, int] | None:
        """Return the zeros with which ``valid`` windows are every ``factor``-th of these.

        Zeros in front and behind; None if they depend on a free size.
        """
        if self.before is None:
            return None
        if self.size is None or self.count is None:
            return (self.before, self.extent - 1 - self.before) if self.is_same else (0, 0)
        last = (-(-self.count // factor) - 1) * self.stride * factor + self.extent - self.before
        return self.before, max(last - self.size, 0)


def windows_of(convolution: layers.Layer, tensor: KerasTensor) -> tuple[Windows, Windows]:
    """Return the windows of a 2D convolution, channels last, over rows and over columns."""
    rows, columns = (
        Windows(*numbers, convolution.padding == "same")
        for numbers in zip(
            tensor.shape[1:3],
            convolution.kernel_size,
            convolution.strides,
            convolution.dilation_rate,
            strict=True,
        )
    )
    return rows, columns
