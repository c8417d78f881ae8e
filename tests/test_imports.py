"""Modules import where a part of the standard library is absent, as on Windows, and where extras are."""

import pkgutil

import tiny

import genshift

ABSENT = ("resource", "fcntl", "pwd", "grp", "termios", "tty", "pty", "readline", "curses", "syslog")
OTHERS = ("torch", "numpy", "scipy.linalg", "sklearn.datasets", "PIL.Image", "rich.progress", "safetensors.torch",
          "pooch", "openTSNE", "plotly", "jinja2", "shtab", "multiprocessing.resource_tracker", "filelock")  # fmt: skip
EXTRAS = ("timm", "dlib", "torch_fidelity", "torchvision", "tensorboard", "IPython", "diffusers", "playwright",
          "onnx", "onnxruntime", "onnxscript", "huggingface_hub", "pandas", "wandb", "mlflow")  # fmt: skip


def test_every_module_imports_without_what_windows_lacks_and_without_extras():
    names = [module.name for module in pkgutil.walk_packages(genshift.__path__, "genshift.")]
    assert len(names) > 150
    code = (
        "import importlib, os, signal, sys\n"
        f"for name in {OTHERS}: importlib.import_module(name)  # which know how to do without\n"
        f"for name in {ABSENT + EXTRAS}: sys.modules[name] = None\n"
        "for name in ('getuid', 'geteuid', 'fork', 'killpg', 'setsid', 'getpgid', 'sysconf', 'uname'):\n"
        "    hasattr(os, name) and delattr(os, name)\n"
        "for name in ('SIGKILL', 'SIGHUP', 'SIGUSR1', 'SIGUSR2', 'SIGALRM', 'SIGPIPE', 'pthread_sigmask'):\n"
        "    hasattr(signal, name) and delattr(signal, name)\n"
        "for name in sys.argv[1:]: importlib.import_module(name)\n"
        "from genshift.cli.main import main\n"
        "sys.exit(main(['--help']))\n"
    )
    done = tiny.python("-c", code, *(name for name in names if not name.endswith("__main__")))
    assert done.returncode == 0 and "usage: genshift" in done.stdout, done.stderr
