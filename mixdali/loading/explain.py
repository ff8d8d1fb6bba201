"""DALI's errors in one clear line, where the cause is known."""

import re

from mixdali.worlds.told import ONE_SIZE, TARGETS


def explained(error: RuntimeError) -> Exception | None:
    """The error to raise instead of one that a pipeline raised while it ran; None if it speaks for itself."""
    text = str(error)
    if "operator `nvidia.dali.fn.decoders." in text:
        return ValueError(_undecoded(text))
    if "operator `nvidia.dali.fn.readers." in text:
        return OSError(f"the data cannot be read: {_encountered(text)}; is it still there, and may it be read?")
    if "a mix takes uint8 HWC images" in text and ("!= uint8" in text or "_tensor_subscript" in text):
        return TypeError(
            "a mix in a DALI graph takes uint8 HWC images, got floats or others: leave the conversion to the mix, with "
            'mean and std, or pass layout="CHW" for float32 CHW images'
        )
    if "on the CPU float images must be float32" in text and "not supported" in text:
        return TypeError(
            'on the CPU float images of a mix must be float32, got others; dtype="float16" is for what comes out of it'
        )
    if "number of per-channel arguments should match" in text or (
        "negative size: mean, std of other channels" in text and "negative" in text.partition("encountered")[2]
    ):
        return ValueError("mean and std must be one number for each channel of the images, or one for all")
    if ONE_SIZE in text and (TARGETS not in text or "for output number 0" in text):
        return ValueError(ONE_SIZE)
    if TARGETS in text:
        return TypeError(f"{TARGETS}; mixdali.one_hot(labels, num_classes) makes them of labels")
    of_table = "operator `nvidia.dali.fn._tensor_subscript`" in text and "in check_labels" in text
    if of_table or "labels must be from 0 to num_classes - 1" in text:
        return ValueError("a label is outside 0 to num_classes - 1; give one_hot the right num_classes")
    # the functions of `mixdali.worlds.told` are named by a rule
    rules = re.findall(r", line \d+, in (\S+ .*must be .*)$", text, re.MULTILINE)
    return ValueError(rules[-1]) if rules else None


def _undecoded(text: str) -> str:
    """DALI names the file where the data is damaged, and none where it is of no image format."""
    named = re.search(r"Failed to decode sample #\d+ ?: ?\S.*", text)
    if named:
        return f"an image cannot be decoded: {named[0].strip()}; replace the file or leave it out"
    return (
        "an image cannot be decoded, and DALI does not say which; `python -m mixdali.pipelines.check FOLDER` finds it"
    )


def _encountered(text: str) -> str:
    """What DALI says happened, after where it did."""
    lines = [line.strip() for line in text.partition("encountered:")[2].splitlines() if line.strip()]
    return lines[0] if lines else text.strip().splitlines()[-1]
