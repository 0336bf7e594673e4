"""What the build makes of the part of libbpf 1.x that sockproxy uses, and of ``bpf/abi/``.

``sockproxy.bpf._binding`` is cffi's out-of-line ABI module: it needs no compiler, only
``libbpf.so.1`` at run time. ``sockproxy.bpf._layout`` has the enums of ``bpf/abi/`` and the
structs that Python code is given, in a form that type checkers see.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from cffi import FFI

declarations: Callable[[Path, Collection[str]], str] = globals()["declarations"]
"""Of hatch_build.py, which runs this file."""

ABI = Path(__file__).resolve().parents[2] / "bpf" / "abi"
HEADERS = ("rules.h", "splice.h", "bypass.h", "events.h", "observed.h", "packets.h")
INCLUDES = tuple(f'#include "abi/{name}"' for name in ("types.h", "rules.h", "bypass.h"))
FLAGS = {"end_trait"}  # enums of which several values may be set at once
TYPED = {"direction": "SharedDirection"}  # structs that are handed out, by their names in Python

LIBBPF = """
enum bpf_attach_type {
    BPF_CGROUP_SOCK_OPS = 3,
    BPF_SK_SKB_STREAM_PARSER = 4,
    BPF_SK_SKB_STREAM_VERDICT = 5,
    BPF_SK_MSG_VERDICT = 7,
    BPF_CGROUP_SETSOCKOPT = 22,
    BPF_SK_SKB_VERDICT = 38,
};
enum { BPF_ANY, BPF_NOEXIST, BPF_EXIST };

struct bpf_object;
struct bpf_program;
struct bpf_map;
struct bpf_link;

struct bpf_test_run_opts {
    size_t sz;
    const void *data_in;
    void *data_out;
    uint32_t data_size_in;
    uint32_t data_size_out;
    const void *ctx_in;
    void *ctx_out;
    uint32_t ctx_size_in;
    uint32_t ctx_size_out;
    uint32_t retval;
    int repeat;
    uint32_t duration;
    uint32_t flags;
    uint32_t cpu;
    uint32_t batch_size;
};

struct bpf_iter_link_info {
    uint32_t map_fd;
    uint32_t reserved[3];
};
struct bpf_iter_attach_opts {
    size_t sz;
    struct bpf_iter_link_info *link_info;
    uint32_t link_info_len;
};

const char *libbpf_version_string(void);
void *libbpf_set_print(void *fn);

struct bpf_object *bpf_object__open_mem(const void *image, size_t size, const void *opts);
int bpf_object__load(struct bpf_object *obj);
void bpf_object__close(struct bpf_object *obj);
struct bpf_program *bpf_object__find_program_by_name(const struct bpf_object *, const char *name);
struct bpf_program *bpf_object__next_program(const struct bpf_object *, struct bpf_program *);
struct bpf_map *bpf_object__find_map_by_name(const struct bpf_object *obj, const char *name);

const char *bpf_program__name(const struct bpf_program *prog);
int bpf_program__fd(const struct bpf_program *prog);
int bpf_program__set_autoload(struct bpf_program *prog, bool autoload);
int bpf_program__set_expected_attach_type(struct bpf_program *prog, enum bpf_attach_type type);
int bpf_program__set_log_buf(struct bpf_program *prog, char *log_buf, size_t log_size);
struct bpf_link *bpf_program__attach(const struct bpf_program *prog);
struct bpf_link *bpf_program__attach_cgroup(const struct bpf_program *prog, int cgroup_fd);
struct bpf_link *bpf_program__attach_iter(
    const struct bpf_program *prog, const struct bpf_iter_attach_opts *opts);

int bpf_map_create(
    int map_type, const char *map_name, uint32_t key_size, uint32_t value_size,
    uint32_t max_entries, const void *opts);
int bpf_map__fd(const struct bpf_map *map);
int bpf_map__reuse_fd(struct bpf_map *map, int fd);
int bpf_map__set_max_entries(struct bpf_map *map, uint32_t max_entries);

int bpf_link__fd(const struct bpf_link *link);
int bpf_link__pin(struct bpf_link *link, const char *path);
int bpf_link__destroy(struct bpf_link *link);

int bpf_prog_attach(int prog_fd, int attachable_fd, enum bpf_attach_type type, unsigned int flags);
int bpf_link_create(int prog_fd, int target_fd, enum bpf_attach_type type, const void *opts);
int bpf_link_update(int link_fd, int new_prog_fd, const void *opts);
int bpf_prog_detach2(int prog_fd, int attachable_fd, enum bpf_attach_type type);
int bpf_prog_test_run_opts(int prog_fd, struct bpf_test_run_opts *opts);
int bpf_map_update_elem(int fd, const void *key, const void *value, uint64_t flags);
int bpf_map_lookup_elem(int fd, const void *key, void *value);
int bpf_map_lookup_and_delete_elem(int fd, const void *key, void *value);
int bpf_map_delete_elem(int fd, const void *key);
int bpf_map_get_next_key(int fd, const void *key, void *next_key);
int bpf_obj_pin(int fd, const char *pathname);
int bpf_obj_get(const char *pathname);
"""


def _declared(folder: Path, header: str) -> str:
    return declarations(folder / header, INCLUDES)


def read_layouts(folder: Path) -> FFI:
    """cffi's view of the headers in `folder` alone, without libbpf."""
    ffi = FFI()
    for name in HEADERS:
        ffi.cdef(_declared(folder, name))
    return ffi


def layout_checks(ffi: FFI) -> str:
    """A C file that clang compiles only if it lays out every struct of `ffi` as cffi does."""
    lines = [f'#include "abi/{name}"' for name in HEADERS]
    for name in ffi.list_types()[1]:
        struct = f"struct {name}"
        for field, about in ffi.typeof(struct).fields:
            here = f"__builtin_offsetof({struct}, {field}) == {about.offset}"
            text = f"cffi has {struct}.{field} at byte {about.offset}, clang has not"
            lines.append(f'_Static_assert({here}, "{text}");')
        size = ffi.sizeof(struct)
        text = f"cffi gives {struct} {size} bytes, clang does not"
        lines.append(f'_Static_assert(sizeof({struct}) == {size}, "{text}");')
    return "\n".join(lines) + "\n"


def python_of(folder: Path) -> str:
    """The module sockproxy.bpf._layout, of the headers in `folder`."""
    ffi = read_layouts(folder)
    parts = [PYTHON_HEAD]
    for header in HEADERS:
        for name in re.findall(r"^enum (\w+) \{", _declared(folder, header), re.MULTILINE):
            parts.append("\n".join(_enum(ffi, name, header)))
    for name, called in TYPED.items():
        parts.append("\n".join(_protocol(ffi, name, called)))
    return "\n\n\n".join(parts) + "\n"


PYTHON_HEAD = '''"""Generated from bpf/abi/ by sockproxy/bpf/_build.py: see there."""

from __future__ import annotations

from enum import IntEnum, IntFlag
from typing import Protocol'''


def _enum(ffi: FFI, name: str, header: str) -> Iterator[str]:
    """ACTION_HOLD and its like become members of a class Action."""
    values = sorted(ffi.typeof(f"enum {name}").relements.items(), key=lambda item: item[1])
    prefix = values[0][0].partition("_")[0]
    base = "IntFlag" if name in FLAGS else "IntEnum"
    yield f"class {prefix.capitalize()}({base}):"
    yield f'    """enum {name} of bpf/abi/{header}."""\n'
    for constant, value in values:
        if not constant.startswith(f"{prefix}_"):
            raise ValueError(f"enum {name}: {constant} does not begin with {prefix}_")
        yield f"    {constant.removeprefix(prefix + '_')} = {value}"


def _protocol(ffi: FFI, name: str, called: str) -> Iterator[str]:
    """A struct of integers alone, as cffi lets its fields be read and written."""
    yield f"class {called}(Protocol):"
    yield f'    """struct {name} of bpf/abi/, in memory that BPF programs write too."""\n'
    for field, about in ffi.typeof(f"struct {name}").fields:
        if about.type.kind != "primitive":
            raise ValueError(f"struct {name}: {field} is no integer")
        yield f"    {field}: int"


ffibuilder = FFI()
ffibuilder.set_source("sockproxy.bpf._binding", None)
ffibuilder.cdef(LIBBPF)
for each in HEADERS:
    ffibuilder.cdef(_declared(ABI, each))
