"""DALI's errors in one clear line, where the cause is known."""

import re


def explained(error: RuntimeError) -> Exception | None:
    """The error to raise instead of one that a pipeline raised while it ran; None if it speaks for itself."""
    text = str(error)
    draw = re.search(r", in ((?:draw|plan\.)\S* .*must be .+)", text)
    if draw:
        return ValueError(draw[1])
    if "operator `nvidia.dali.fn.decoders." in text:
        return ValueError(
            "an image cannot be decoded, and DALI does not say which; "
            "`python -m mixdali.pipelines.check FOLDER` finds it"
        )
    if "in check_uint8" in text or ("KeptOperator" in text and "float != uint8" in text):
        return TypeError(
            "a mix in a DALI graph takes uint8 HWC images, got floats: leave the conversion to the mix, or pass "
            'layout="CHW" for float CHW images'
        )
    if "all images of a batch that is mixed must be of one size" in text:
        return ValueError("all images of a batch that is mixed must be of one size, got several; resize or crop them")
    if "targets of a mix must be float32 (num_classes,)" in text:
        return TypeError(
            "targets of a mix must be float32 (num_classes,), as many classes for all of a batch; "
            "mixdali.one_hot(labels, num_classes) makes them of labels"
        )
    of_table = "operator `nvidia.dali.fn._tensor_subscript`" in text and "in check_labels" in text
    if of_table or "labels must be from 0 to num_classes - 1" in text:
        return ValueError("a label is outside 0 to num_classes - 1; give one_hot the right num_classes")
    return None
