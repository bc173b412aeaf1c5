"""Streams and lists of photos: in order, several at the same time, with what cannot be used in its place."""

from __future__ import annotations

import threading
import warnings

import numpy as np
import pytest
from PIL import Image

from stub_segmenter import StubSegmenter, Trouble, write_photos
from wordmask.errors import DeviceError, PhotoError, VocabularyError, WordmaskWarning
from wordmask.predictor import Predictor
from wordmask.result import FailedPhoto, Result
from wordmask.run.find_photos import find_photos

WORDS = ["red", "green"]


class Quick(StubSegmenter, Predictor):
    """A stub with the calls of a Segmenter."""

    photos_in_flight = 2

    def segment(self, photo, queries, options, timer):
        return Result(**vars(super().segment(photo, queries, options, timer)))


def pixels(*troubles):
    """Black photos that differ in size; the first pixel brings the trouble about."""
    photos = []
    for number, trouble in enumerate(troubles):
        photo = np.zeros((20, 20 + number, 3), np.uint8)
        photo[0, 0] = trouble.value
        photos.append(photo)
    return photos


def widths(results):
    return [result.semantic.shape[1] for result in results]


def test_a_stream_of_a_folder_is_in_name_order_and_keeps_no_pixels(tmp_path):
    folder = write_photos(tmp_path / "photos", 5)
    results = list(Quick().stream(folder, WORDS))
    assert [result.path for result in results] == sorted(folder.iterdir())
    for result in results:
        assert result.photo is None
        assert result.error is None
        assert result == Quick()(result.path, WORDS)
        np.testing.assert_array_equal(result.plot(), Quick()(result.path, WORDS).plot())


def test_a_stream_searches_folders_as_a_run_does(tmp_path, caplog):
    folder = write_photos(tmp_path / "photos", 2)
    write_photos(folder / "b" / "deep", 1)
    write_photos(folder / ".hidden", 1)
    write_photos(folder / "done", 1)
    for name in ("journal.jsonl", "run.json"):
        (folder / "done" / name).write_text("")
    (folder / "linked").symlink_to(write_photos(tmp_path / "far", 3))
    paths = [result.path for result in Quick().stream(str(folder), WORDS, recursive=True)]
    assert "left out, hidden or of the system: 1" in caplog.text
    assert "left out, folders with results of wordmask: 1" in caplog.text
    assert paths == [job.path for job in find_photos([folder], recursive=True)]
    short = [str(path.relative_to(folder)) for path in paths]
    assert short == ["000.png", "001.png", "b/deep/000.png", "linked/000.png", "linked/001.png", "linked/002.png"]
    assert [result.path for result in Quick().stream(folder, WORDS)] == paths[:2]


def test_a_stream_keeps_the_pixels_where_that_is_asked_for():
    (photo,) = pixels(Trouble.NONE)
    (kept,) = Quick().stream([photo], WORDS, keep_photo=True)
    (dropped,) = Quick().stream([photo], WORDS)
    np.testing.assert_array_equal(kept.photo, photo)
    np.testing.assert_array_equal(kept.plot(), dropped.plot(photo))
    with pytest.raises(ValueError, match="keep_photo=True"):
        dropped.plot()


def test_photos_that_cannot_be_used_stand_in_their_place(tmp_path):
    folder = write_photos(tmp_path / "photos", 4, {1: Trouble.NAN})
    (folder / "002.png").write_bytes(b"")
    first, nan, empty, last = Quick().stream(folder, WORDS)
    assert isinstance(nan, FailedPhoto)
    assert [each.path.name for each in (first, nan, empty, last)] == [f"{i:03d}.png" for i in range(4)]
    assert [each.error and each.code for each in (first, nan, empty, last)] == [None, "NUMERIC", "EMPTY", None]
    assert "002.png" in str(empty.error)
    assert isinstance(empty.error, PhotoError)


def test_an_error_that_every_photo_would_meet_ends_the_stream():
    stream = Quick().stream(pixels(Trouble.NONE, Trouble.DEVICE_GONE), WORDS)
    assert next(stream).error is None
    with pytest.raises(DeviceError):
        next(stream)
    with pytest.raises(ZeroDivisionError):
        list(Quick().stream(pixels(Trouble.BUG), WORDS))
    with pytest.raises(ValueError, match="float32"):
        list(Quick().stream([np.zeros((4, 4, 3), np.float32)], WORDS))


def test_as_many_photos_are_in_flight_as_the_device_takes_or_the_caller_says():
    for given, expected in ((None, 2), (1, 1), (3, 3)):
        segmenter = Quick(delay=0.05)
        list(segmenter.stream(pixels(*[Trouble.NONE] * 8), WORDS, in_flight=given))
        assert segmenter.most_at_once == expected
    with pytest.raises(ValueError, match="in_flight is 0: it must be at least 1"):
        Quick().stream([], WORDS, in_flight=0)


def test_photos_are_taken_only_a_few_ahead_of_the_results():
    taken = []

    def frames():
        for photo in pixels(*[Trouble.NONE] * 20):
            taken.append(photo)
            yield photo

    stream = Quick().stream(frames(), WORDS)
    assert taken == []
    for number, _ in zip(range(1, 6), stream, strict=False):
        assert len(taken) == number + 3  # two in flight, one that waits, and the one that took the result's place


def test_a_stream_that_is_left_starts_no_further_photo():
    segmenter = Quick(delay=0.02)
    stream = segmenter.stream(pixels(*[Trouble.NONE] * 20), WORDS)
    next(stream)
    stream.close()
    workers = [thread for thread in threading.enumerate() if thread.name.startswith("photo")]
    for thread in workers:
        thread.join(5)
    assert not any(thread.is_alive() for thread in workers)
    assert len(segmenter.calls) <= 4


def test_a_photo_that_needs_all_the_memory_is_tried_again_alone():
    troubles = [Trouble.NONE, Trouble.OUT_OF_MEMORY_BESIDE_ANOTHER, Trouble.NONE, Trouble.OUT_OF_MEMORY, Trouble.NONE]
    results = list(Quick(delay=0.1).stream(pixels(*troubles), WORDS))
    assert [each.error and each.code for each in results] == [None, None, None, "OOM", None]
    assert widths(results[:3]) == [20, 21, 22]


def test_a_list_gives_a_list_and_its_first_bad_photo_is_raised():
    photos = pixels(*[Trouble.NONE] * 5)
    results = Quick()(photos, WORDS)
    assert widths(results) == [20, 21, 22, 23, 24]
    assert results == Quick()(tuple(photos), WORDS)
    assert [result.photo.shape for result in results] == [photo.shape for photo in photos]
    with pytest.raises(PhotoError, match="0 bytes"):
        Quick()([photos[0], b""], WORDS)
    assert Quick()([], WORDS) == []


def test_words_and_options_are_checked_before_the_first_photo():
    with pytest.raises(TypeError, match=r"no option 'min_confidance': did you mean 'min_confidence'\?"):
        Quick().stream([], WORDS, min_confidance=0.5)
    with pytest.raises(VocabularyError, match="the vocabulary is empty"):
        Quick().stream([], iter([]))
    with pytest.raises(FileNotFoundError, match="does not exist"):
        Quick().stream("nowhere", WORDS)


def test_what_the_decoder_notes_is_warned_of_at_the_callers_line(tmp_path):
    first, second = (Image.fromarray(np.full((40, 50, 3), shade, np.uint8)) for shade in (60, 70))
    path = tmp_path / "two.gif"
    first.save(path, save_all=True, append_images=[second])
    for call in (Quick().__call__, lambda photos, words: list(Quick().stream(photos, words))):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            call([path], WORDS)
        assert [(each.category, str(each.message), each.filename) for each in caught] == [
            (WordmaskWarning, f"{path}: only the first of several images is used", __file__)
        ]
