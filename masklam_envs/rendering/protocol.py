"""What a renderer does, whichever it is."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import mujoco
import numpy as np
from numpy.typing import NDArray

from masklam_envs.rendering.look import CLEAN, Look


class Layers(NamedTuple):
    """Everything a renderer knows about a frame.

    Attributes:
        pixels: (H, W, 3) uint8.
        mask: (H, W, 1) uint8, 255 where the agent is nearest, else 0.
        ids: (H, W) int32, the geom that the ray through the pixel's centre meets first, -1 for none.
        depth: (H, W) float32, metres to that geom along the camera's optical axis, +inf for none.
    """

    pixels: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    ids: NDArray[np.int32]
    depth: NDArray[np.float32]


class Renderer(Protocol):
    """Frames and agent masks of one model: the same pose and look give the same bytes.

    Attributes:
        model: that is drawn.
        image_size: height and width H = W in pixels.
        zoom: by which the field of view's tangent is divided.
        focus: metres from the camera to the point that it looks at.
    """

    model: mujoco.MjModel
    image_size: int
    zoom: float
    focus: float

    @property
    def name(self) -> str:
        """What the bytes of a frame depend on beside pose and look.

        Raises:
            OpenGLUnavailableError: there is no OpenGL, and this renderer needs it.
        """
        ...

    @property
    def camera_index(self) -> int:
        """Index of the model camera, -1 for a free camera."""
        ...

    def draw(
        self,
        qpos: NDArray[np.float64],
        look: Look = CLEAN,
        mocap_pos: NDArray[np.float64] | None = None,
        mocap_quat: NDArray[np.float64] | None = None,
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Draw one frame.

        Args:
            qpos: (nq,) float64 positions.
            look: everything else about the frame; the default is the scene as it is.
            mocap_pos: (nmocap, 3) float64 metres; None is the model's initial position.
            mocap_quat: (nmocap, 4) float64; None is the model's initial orientation.

        Returns:
            Fresh ``pixels`` (H, W, 3) uint8 and ``mask`` (H, W, 1) uint8, 255 on the agent.  Of a look, the mask
            depends on the camera and the overlays alone.

        Raises:
            ValueError: an array of another shape or type.
            OpenGLUnavailableError: there is no OpenGL, and this renderer needs it.
        """
        ...

    def inspect(
        self,
        qpos: NDArray[np.float64],
        mocap_pos: NDArray[np.float64] | None = None,
        mocap_quat: NDArray[np.float64] | None = None,
    ) -> Layers:
        """Draw one frame with its own sky and ground, and tell which geom each pixel shows and how far it is.

        Args:
            qpos: (nq,) float64 positions.
            mocap_pos: as in :meth:`draw`.
            mocap_quat: as in :meth:`draw`.
        """
        ...

    def camera_pose(self, qpos: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
        """Where the camera is when the model is at ``qpos``.

        Returns:
            Its position (3,) in metres, its matrix (3, 3) with columns x right, y up, z backward, and the tangent of
            half its field of view after the zoom.
        """
        ...
