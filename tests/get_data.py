#!/usr/bin/env python3
"""Tests scripts/get_data.py on archives made here: what comes out, and what is left when an archive is damaged.

Without Pillow its two sets of PNG pictures are left out. Nothing is fetched: every download lies in a folder already.
"""
import contextlib
import gzip
import http.server
import importlib.util
import io
import json
import os
import pathlib
import struct
import subprocess
import sys
import tarfile
import tempfile
import threading
import unittest
import zipfile

try:
    from PIL import Image
except ImportError:
    Image = None

PATH = pathlib.Path(__file__).resolve().parent.parent / "scripts" / "get_data.py"
sys.dont_write_bytecode = True
SPEC = importlib.util.spec_from_file_location("get_data_script", PATH)
SCRIPT = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(SCRIPT)
# Nothing answers at port 9 (discard): a download that is not in the folder fails at once, on any machine.
os.environ.update({f"{kind}_proxy": "http://127.0.0.1:9" for kind in ("http", "https")}, no_proxy="127.0.0.1")
RECORD = 3073


def cifar_batch(labels):
    return b"".join(bytes([label]) + bytes([(40 * label + n) % 256]) * (RECORD - 1) for n, label in enumerate(labels))


BATCHES = [cifar_batch(labels) for labels in ([8, 1, 2], [3, 8], [8], [0, 9], [8, 8, 5])]
TEST_BATCH = cifar_batch([3, 8, 8, 0])


def cifar_archive(leave_out="", batches=BATCHES):
    files = {f"data_batch_{n + 1}.bin": b for n, b in enumerate(batches)}
    files.update({"batches.meta.txt": b"airplane\nautomobile\n", "test_batch.bin": TEST_BATCH, "readme.html": b"<p>"})
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, data in reversed(sorted(files.items())):
            if name != leave_out:
                info = tarfile.TarInfo("cifar-10-batches-bin/" + name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def zip_of(files):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


def png(image):
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def safetensors(name):
    header = json.dumps({"__metadata__": {}, name: {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    return struct.pack("<Q", len(header)) + header + b"\0\0\0\0"


class GetData(unittest.TestCase):
    def setUp(self):
        here = tempfile.TemporaryDirectory()
        self.addCleanup(here.cleanup)
        self.downloads, self.to = pathlib.Path(here.name) / "downloads", pathlib.Path(here.name) / "data"
        self.downloads.mkdir()

    def run_script(self, *arguments, check=False):
        """As the command does, but in this process, which is faster."""
        folders = ["--to", str(self.to), "--downloads", str(self.downloads)]
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                code = SCRIPT.main(folders + ([] if check else ["--no-check"]) + list(arguments))
            except SystemExit as stopped:
                code = stopped.code
        return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())

    def done(self, *arguments):
        ran = self.run_script(*arguments)
        self.assertEqual(ran.returncode, 0, ran.stderr)
        return ran

    def refused(self, because, *arguments, check=False):
        ran = self.run_script(*arguments, check=check)
        self.assertEqual(ran.returncode, 1, ran.stderr)
        errors = [line for line in ran.stderr.splitlines() if line.startswith("error: ")]
        self.assertEqual(len(errors), 1, ran.stderr)
        self.assertIn(because, errors[0])
        self.assertEqual([p for p in self.to.rglob("*") if not p.is_dir()], [])

    def content(self, name):
        data = (self.to / name).read_bytes()
        return gzip.decompress(data) if name.endswith(".gz") else data

    def test_cifar10(self):
        (self.downloads / "cifar-10-binary.tar.gz").write_bytes(cifar_archive())
        self.done("cifar10")
        ships = [b[at : at + RECORD] for b in BATCHES for at in range(0, len(b), RECORD) if b[at] == 8]
        self.assertEqual(len(ships), 5)
        self.assertEqual(self.content("cifar10/ships_train.bin.gz"), b"".join(ships))
        self.assertEqual(self.content("cifar10/train.bin.gz"), b"".join(BATCHES))
        self.assertEqual(self.content("cifar10/test_batch.bin.gz"), TEST_BATCH)
        self.assertEqual(self.content("cifar10/batches.meta.txt"), b"airplane\nautomobile\n")
        self.assertEqual(sorted(p.name for p in (self.to / "cifar10").iterdir()), [
            "batches.meta.txt", "lossless_test_first1000.bin.gz", "lossless_train_first4000.bin.gz",
            "ships_train.bin.gz", "test_batch.bin.gz", "train.bin.gz"])
        self.assertEqual([p.name for p in self.to.iterdir()], ["cifar10"])

    def test_the_first_4000_and_1000(self):
        global TEST_BATCH
        many, TEST_BATCH, before = cifar_batch([n % 10 for n in range(4002)]), cifar_batch([7] * 1001), TEST_BATCH
        archive = cifar_archive(batches=[many] + BATCHES[1:])
        TEST_BATCH = before
        (self.downloads / "cifar-10-binary.tar.gz").write_bytes(archive)
        self.done("cifar10")
        self.assertEqual(self.content("cifar10/lossless_train_first4000.bin.gz"), many[: 4000 * RECORD])
        self.assertEqual(len(self.content("cifar10/lossless_test_first1000.bin.gz")), 1000 * RECORD)

    def test_damaged_cifar10(self):
        archive, path = cifar_archive(), self.downloads / "cifar-10-binary.tar.gz"
        for length in (0, 1, 20, len(archive) // 2, len(archive) - 9):
            path.write_bytes(archive[:length])
            self.refused("cut short or damaged", "cifar10")
        path.write_bytes(archive)
        self.refused("md5", "cifar10", check=True)
        path.write_bytes(cifar_archive(leave_out="data_batch_3.bin"))
        self.refused("holds no data_batch_3.bin", "cifar10")
        path.write_bytes(cifar_archive(batches=BATCHES[:4] + [BATCHES[4] + b"x"]))
        self.refused("data_batch_5.bin is not made of records", "cifar10")
        path.write_bytes(cifar_archive(batches=BATCHES[:4] + [cifar_batch([10])]))
        self.refused("data_batch_5.bin is not made of records", "cifar10")

    def test_what_is_there_stays(self):
        (self.downloads / "cifar-10-binary.tar.gz").write_bytes(cifar_archive())
        (self.to / "cifar10").mkdir(parents=True)
        mine, train = self.to / "cifar10" / "test_batch.bin.gz", self.to / "cifar10" / "train.bin.gz"
        mine.write_bytes(b"mine")
        (self.to / "cifar10" / "train_jpg.tar.gz").write_bytes(b"serves as well as train.bin.gz")
        self.assertIn("2 of 6", self.done().stdout)
        self.done("cifar10")
        self.assertEqual(mine.read_bytes(), b"mine")
        self.assertFalse(train.exists())
        (self.downloads / "cifar-10-binary.tar.gz").unlink()
        self.assertIn("all there already", self.done("cifar10").stdout)
        (self.downloads / "cifar-10-binary.tar.gz").write_bytes(cifar_archive())
        self.done("--force", "cifar10")
        self.assertEqual(self.content("cifar10/test_batch.bin.gz"), TEST_BATCH)
        self.assertTrue(train.exists())

    def test_mnist(self):
        names = [f"{part}-{kind}-ubyte.gz" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]
        for n, name in enumerate(names):
            (self.downloads / name).write_bytes(gzip.compress(b"\0\0\x08\x01" + bytes([n])))
        self.refused("would not hold what it should", "mnist", check=True)
        self.done("mnist")
        for n, name in enumerate(names):
            self.assertEqual(self.content("mnist/" + name), b"\0\0\x08\x01" + bytes([n]))
        (self.to / "mnist" / names[0]).unlink()
        (self.downloads / names[0]).write_bytes(b"<html>")
        ran = self.run_script("mnist")
        self.assertEqual(ran.returncode, 1)
        self.assertIn(f"{names[0]} is not a gzip file", ran.stderr)
        self.assertFalse((self.to / "mnist" / names[0]).exists())

    def test_words(self):
        (self.downloads / "questions-words.txt").write_bytes(b": capitals\nAthens Greece Oslo Norway\n")
        whole = zip_of({"text8": b" anarchism originated as a term of abuse" * 100})
        (self.downloads / "text8.zip").write_bytes(whole[:-30])
        self.refused("cut short or damaged", "word2vec")
        self.refused("text8.zip has", "word2vec", check=True)
        (self.downloads / "text8.zip").write_bytes(whole)
        self.done("word2vec")
        self.assertTrue(self.content("word2vec/text8.gz").startswith(b" anarchism originated"))
        self.assertTrue(self.content("word2vec/questions-words.txt").startswith(b": capitals"))

    def test_weights_and_photos(self):
        (self.downloads / "taesd_encoder.safetensors").write_bytes(safetensors("0.weight"))
        for wrong in (safetensors("0.weight"), safetensors("1.weight")[:-1], b"<html>", b""):
            (self.downloads / "taesd_decoder.safetensors").write_bytes(wrong)
            self.refused("taesd_decoder.safetensors is not a whole safetensors file", "taesd")
        (self.downloads / "taesd_decoder.safetensors").write_bytes(safetensors("1.weight"))
        self.done("taesd")
        self.assertEqual(self.content("taesd/taesd_decoder.safetensors"), safetensors("1.weight"))
        picture = b"\x89PNG\r\n\x1a\n" + b"...." + b"IEND\xaeB`\x82"
        for name in ("astronaut.png", "chelsea.png", "coffee.png"):
            (self.downloads / name).write_bytes(picture)
        ran = self.run_script("photos", check=True)
        self.assertEqual(ran.returncode, 0, ran.stderr)
        self.assertIn("note: photos/coffee.png is not the file", ran.stderr)
        (self.downloads / "coffee.png").write_bytes(picture[:-1])
        self.assertIn("coffee.png is not a whole PNG file", self.run_script("--force", "photos").stderr)

    @unittest.skipIf(Image is None, "no Pillow")
    def test_nuclei(self):
        root, a, b, c = "repository-master/stage1_train", "a" * 64, "b" * 64, "c" * 64
        left, right = Image.new("L", (256, 256)), Image.new("L", (256, 256))
        left.putpixel((3, 5), 255), right.putpixel((200, 5), 7)
        files = {
            f"{root}/{b}/images/{b}.png": png(Image.new("RGBA", (256, 256), (20, 20, 20, 255))),
            f"{root}/{b}/masks/2.png": png(left), f"{root}/{b}/masks/1.png": png(right),
            f"{root}/{a}/images/{a}.png": png(Image.new("RGB", (256, 256), (9, 9, 9))),
            f"{root}/{c}/images/{c}.png": png(Image.new("RGB", (360, 360))),
        }
        path = self.downloads / "kaggle-dsbowl-2018-dataset-fixes-master.zip"
        path.write_bytes(zip_of(files)[:-40])
        self.refused("cut short or damaged", "nuclei_dsb2018")
        path.write_bytes(zip_of({**files, f"{root}/{b}/masks/2.png": png(left)[:60]}))
        self.refused("masks/2.png is not a whole PNG file", "nuclei_dsb2018")
        path.write_bytes(zip_of(files))
        self.done("nuclei_dsb2018")
        self.assertEqual(self.content("nuclei_dsb2018/ids.txt").decode().split(), [a, b])
        images, masks = (self.content(f"nuclei_dsb2018/{kind}-idx3-ubyte.gz") for kind in ("images", "masks"))
        header, size = bytes.fromhex("00000803 00000002 00000100 00000100"), 256 * 256
        self.assertEqual(images, header + bytes([9]) * size + bytes([20]) * size)
        self.assertEqual(masks[:16], header)
        self.assertEqual([i for i, v in enumerate(masks[16:]) if v],
                         [size + 5 * 256 + 3, size + 5 * 256 + 200])
        self.assertEqual(set(masks[16:]), {0, 255})

    @unittest.skipIf(Image is None, "no Pillow")
    def test_membranes(self):
        files = {f"unet-master/data/membrane/train/{kind}/{n}.png": png(Image.new("L", (6, 4), base + n))
                 for kind, base in (("image", 0), ("label", 100)) for n in range(30)}
        path = self.downloads / "unet-master.zip"
        path.write_bytes(zip_of(dict(list(files.items())[:-1])))
        self.refused("does not hold data/membrane/train/label/0.png to 29.png", "isbi2012")
        path.write_bytes(zip_of(files))
        self.done("isbi2012")
        labels = self.content("isbi2012/train-labels-idx3-ubyte.gz")
        self.assertEqual(labels[:16], bytes.fromhex("00000803 0000001e 00000004 00000006"))
        self.assertEqual([labels[16 + 24 * n] for n in range(30)], list(range(100, 130)))

    def test_fetching(self):
        class Server(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(404 if self.path == "/none" else 200)
                self.send_header("Content-Length", "600000" if self.path == "/cut" else "500000")
                self.end_headers()
                self.wfile.write(b"x" * 500000)

            def log_message(self, *_):
                pass

        server = http.server.HTTPServer(("127.0.0.1", 0), Server)
        self.addCleanup(server.server_close)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        self.addCleanup(server.shutdown)

        def fetch(name):
            with contextlib.redirect_stderr(io.StringIO()):
                return SCRIPT.fetch(SCRIPT.Download(f"http://127.0.0.1:{server.server_port}/{name}", name),
                                    self.downloads)

        self.assertEqual(fetch("whole").read_bytes(), b"x" * 500000)
        for name, because in (("cut", "cut short: 500000 of 600000"), ("none", "404")):
            with self.assertRaisesRegex(SCRIPT.Failed, because):
                fetch(name)
        self.assertEqual([p.name for p in self.downloads.iterdir()], ["whole"])

    def test_stopping(self):
        def stopped_halfway():
            yield b"half"
            raise KeyboardInterrupt

        for name in ("new.gz", "old.gz"):
            (self.downloads / "old.gz").write_bytes(b"old")
            with self.assertRaises(KeyboardInterrupt):
                SCRIPT.write(self.downloads / name, stopped_halfway(), compress=True)
        self.assertEqual([p.name for p in self.downloads.iterdir()], ["old.gz"])
        self.assertEqual((self.downloads / "old.gz").read_bytes(), b"old")

    def test_asking_for_the_wrong_thing(self):
        ran = self.run_script("minst")
        self.assertEqual(ran.returncode, 2)
        self.assertIn("no set is called 'minst'", ran.stderr)
        self.assertEqual(subprocess.run([PATH, "--help"], stdout=subprocess.DEVNULL).returncode, 0)
        self.refused("cannot fetch https://www.cs.toronto.edu", "cifar10")
        self.assertIn("nuclei_dsb2018", self.done().stdout)  # the list, which gets nothing


if __name__ == "__main__":
    result = unittest.TextTestRunner(stream=sys.stderr).run(unittest.defaultTestLoader.loadTestsFromTestCase(GetData))
    bad, skipped = len(result.failures) + len(result.errors), len(result.skipped)
    passed = result.testsRun - bad - skipped
    print(f"test cases: {result.testsRun - skipped} | {passed} passed | {bad} failed | {skipped} skipped")
    sys.exit(bool(bad))
