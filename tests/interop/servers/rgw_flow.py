"""What tests/interop/rgw.sh does with its server: runs from and to a bucket until one is not as expected."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import fsspec
import s3fs

ROOT = Path(__file__).parents[3]
SCENES = ROOT / "examples" / "scenes"
NAMES = {"01.png": "01.png", "02.png": "a b/0 2+#?&%41.png", "03.png": "a b/03[1].png", "04.png": "汉/04*.png"}
OUT = "bucket/out dir"


def tell(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def command(photos: str, out: str, *more: str) -> list[str]:
    words = ["--vocabulary", f"@{SCENES / 'words.txt'}", "--background", "none", "--threads", "1", "--recursive"]
    bundle = ["--bundle", str(ROOT / "models_cache" / "tiny")]
    return [sys.executable, "-m", "wordmask", "run", photos, *words, *bundle, "--output", out, *more]


def run(title: str, arguments: list[str], status: int, *told: str, **variables: str) -> None:
    """Fails unless the command ends with this status and says this."""
    environment = {**os.environ, **variables}
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=300, env=environment)
    said = done.stdout + done.stderr
    if done.returncode != status or any(text not in said for text in told):
        sys.exit(f"NOT AS EXPECTED: {title}: status {done.returncode}, expected {status} and {told}\n{said}")
    tell("\n    ".join([f"{title}: status {status}", *told]))


def same_results(files: s3fs.S3FileSystem, plain: Path) -> None:
    """The PNGs and the annotations of the bucket are those of a plain run."""
    pictures = sorted(plain.glob("semantic/**/*.png"))
    for file in pictures:
        if files.cat_file(f"{OUT}/{file.relative_to(plain)}") != file.read_bytes():
            sys.exit(f"NOT AS EXPECTED: {file} differs")
    ours, theirs = files.cat_file(f"{OUT}/annotations.json"), (plain / "annotations.json").read_bytes()
    if len(pictures) != len(NAMES) or json.loads(ours)["annotations"] != json.loads(theirs)["annotations"]:
        sys.exit("NOT AS EXPECTED: pictures or annotations differ")
    tell(f"{len(pictures)} pictures and the annotations are those of a plain run")


def main(work: Path) -> None:
    files = fsspec.filesystem("s3", use_listings_cache=False)
    files.mkdir("bucket")
    for scene, name in NAMES.items():
        (work / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(SCENES / scene, work / "photos" / name)
        files.put_file(str(SCENES / scene), f"bucket/photos/{name}")
    listed, asked = files.ls("bucket/photos", detail=True)[0], files.info("bucket/photos/01.png")
    tell(f"listed: {listed['LastModified']}, asked: {asked['LastModified']}")

    plain = work / "plain"
    run("a plain run", command(str(work / "photos"), str(plain)), 0)
    ours = command("s3://bucket/photos", f"s3://{OUT}", "--ray")
    run("all photos", ours, 0, "4 of 4 photos")
    same_results(files, plain)
    shutil.rmtree(work / "cache" / "runs")
    files.rm_file(f"{OUT}/semantic/01.png")
    run("continued from another machine", ours, 0, "3 of 4 photos are done")
    same_results(files, plain)
    files.put_file(str(SCENES / "05.png"), f"bucket/photos/{NAMES['03.png']}")
    run("a changed photo", ours, 2, "03[1].png' has changed since")
    files.put_file(str(SCENES / "03.png"), f"bucket/photos/{NAMES['03.png']}")
    run("the photo as it was", ours, 0, "4 of 4 photos are done")
    run("restart", [*ours, "--restart"], 0, "4 of 4 photos")
    same_results(files, plain)
    for level in ("--recursive", "one level"):
        flags = [part for part in ours if part != "--recursive" or level == "--recursive"]
        denied = "cannot be listed: access is denied (SignatureDoesNotMatch)"
        run(f"a wrong secret, {level}", flags, 2, denied, AWS_SECRET_ACCESS_KEY="wrong")
        missing = [part.replace("s3://bucket/photos", "s3://nobody-has-this/photos") for part in flags]
        run(f"a missing bucket, {level}", missing, 2, "cannot be listed: there is no such bucket")
    missing = [part.replace(f"s3://{OUT}", "s3://nobody-has-this/out") for part in ours]
    run("a missing bucket for outputs", missing, 4, "there is no such bucket")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
