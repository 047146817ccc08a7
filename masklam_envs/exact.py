"""Sine, cosine, angle, exponential of ``+ - * / sqrt``: a C library's may differ in the last bit between machines."""

from __future__ import annotations

import math

# pi / 2 as the sum of two floats: the first one's product with a small whole number is exact.
_QUARTER_HIGH, _QUARTER_LOW = 1.5707963267341256, 6.077100506506192e-11
_LN2_HIGH, _LN2_LOW = 0.6931471803691238, 1.9082149292705877e-10
# Reciprocal factorials, the highest power first.
_SINE = tuple((-1) ** k / math.factorial(2 * k + 1) for k in range(8, -1, -1))
_COSINE = tuple((-1) ** k / math.factorial(2 * k) for k in range(9, -1, -1))
# Of arc tangents below tan(pi / 16), which is as far as halving twice brings them.
_ARC_TANGENT = tuple((-1) ** k / (2 * k + 1) for k in range(12, -1, -1))
_EXP = tuple(1 / math.factorial(k) for k in range(13, -1, -1))


def sincos(angle: float) -> tuple[float, float]:
    """Sine and cosine of an angle in radians, to about 1e-15 for angles below 1e5."""
    turns = round(angle / (_QUARTER_HIGH + _QUARTER_LOW))
    rest = (angle - turns * _QUARTER_HIGH) - turns * _QUARTER_LOW
    square = rest * rest
    sine, cosine = rest * _polynomial(_SINE, square), _polynomial(_COSINE, square)
    return ((sine, cosine), (cosine, -sine), (-sine, -cosine), (-cosine, sine))[turns % 4]


def arctan2(y: float, x: float) -> float:
    """The angle of (x, y) from the x axis in (-pi, pi], radians, to about 1e-15; 0 for (0, 0)."""
    small, large = sorted((abs(x), abs(y)))
    if large == 0.0:
        return 0.0
    ratio = small / large
    for _ in range(2):  # tan of half the angle
        ratio /= 1.0 + math.sqrt(1.0 + ratio * ratio)
    angle = 4.0 * ratio * _polynomial(_ARC_TANGENT, ratio * ratio)
    angle = angle if abs(x) == large else math.pi / 2 - angle
    angle = math.pi - angle if x < 0 else angle
    return -angle if y < 0 else angle


def exp(x: float) -> float:
    """The exponential of a number in [-700, 700], to about 1e-15 of its value."""
    halvings = round(x / (_LN2_HIGH + _LN2_LOW))
    rest = (x - halvings * _LN2_HIGH) - halvings * _LN2_LOW
    return math.ldexp(_polynomial(_EXP, rest), halvings)


def _polynomial(coefficients: tuple[float, ...], x: float) -> float:
    value = 0.0
    for coefficient in coefficients:
        value = value * x + coefficient
    return value
