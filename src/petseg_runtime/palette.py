"""Class colours that readers with any kind of colour vision can distinguish."""

from collections.abc import Sequence

from petseg_runtime.model_info import background_of

RGB = tuple[int, int, int]

# The first eight are close to those of Okabe and Ito. Each further colour is, of a grid over RGB,
# the one with the greatest distance in CIELAB to all before it under normal vision, protanopia,
# deuteranopia and tritanopia, simulated after Machado et al. (IEEE TVCG 15(6), 2009).
PALETTE: tuple[RGB, ...] = (
    (240, 130, 30),
    (86, 190, 240),
    (0, 158, 115),
    (204, 121, 167),
    (240, 228, 66),
    (0, 114, 178),
    (213, 60, 40),
    (68, 17, 17),
    (153, 0, 255),
    (34, 0, 119),
    (187, 238, 153),
    (85, 34, 102),
    (170, 119, 255),
    (153, 51, 51),
    (0, 255, 204),
    (102, 51, 187),
    (170, 170, 102),
    (170, 238, 255),
    (0, 68, 68),
    (153, 0, 0),
    (255, 187, 102),
    (136, 204, 153),
    (170, 17, 153),
)
BACKGROUND: RGB = (96, 108, 128)
IGNORED: RGB = (128, 128, 128)


def class_colours(class_names: Sequence[str]) -> tuple[RGB, ...]:
    """Returns the colour of each class.

    Args:
        class_names: Name of each class. The class called "background" is slate grey.

    Returns:
        RGB in [0, 255] for each class. Colours repeat when there are more than 23 classes, not
        counting the background.
    """
    background = background_of(tuple(class_names))
    colours: list[RGB] = []
    for index in range(len(class_names)):
        taken = len(colours) - (background is not None and background < index)
        colours.append(BACKGROUND if index == background else PALETTE[taken % len(PALETTE)])
    return tuple(colours)
