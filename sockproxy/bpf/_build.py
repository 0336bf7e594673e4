"""Describes to cffi the part of libbpf 1.x that sockproxy uses.

The out-of-line ABI module ``sockproxy.bpf._binding`` is generated from this when
the package is built, together with the structures of ``bpf/shared.h``; it needs no
compiler, only ``libbpf.so.1`` at run time.
"""

from __future__ import annotations

from pathlib import Path

from cffi import FFI

BEGIN, END = "/* shared: begin */", "/* shared: end */"

LIBBPF = """
enum bpf_attach_type {
    BPF_CGROUP_SOCK_OPS = 3,
    BPF_SK_SKB_STREAM_PARSER = 4,
    BPF_SK_SKB_STREAM_VERDICT = 5,
    BPF_SK_MSG_VERDICT = 7,
    BPF_SK_SKB_VERDICT = 38,
};
enum { BPF_ANY, BPF_NOEXIST, BPF_EXIST };

struct bpf_object;
struct bpf_program;
struct bpf_map;
struct bpf_link;
struct ring_buffer;

typedef int (*ring_buffer_sample_fn)(void *ctx, void *data, size_t size);

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
int bpf_map__set_max_entries(struct bpf_map *map, uint32_t max_entries);

int bpf_link__fd(const struct bpf_link *link);
int bpf_link__pin(struct bpf_link *link, const char *path);
int bpf_link__destroy(struct bpf_link *link);

struct ring_buffer *ring_buffer__new(int map_fd, ring_buffer_sample_fn fn, void *ctx, void *opts);
void ring_buffer__free(struct ring_buffer *rb);
int ring_buffer__consume(struct ring_buffer *rb);
int ring_buffer__epoll_fd(const struct ring_buffer *rb);

int bpf_prog_attach(int prog_fd, int attachable_fd, enum bpf_attach_type type, unsigned int flags);
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


def shared_header() -> str:
    """The declarations of bpf/shared.h that stand between its two markers."""
    root = Path(__file__).resolve().parents[2]
    text = (root / "bpf" / "shared.h").read_text(encoding="ascii")
    _, found, rest = text.partition(BEGIN)
    body, ended, _ = rest.partition(END)
    if not (found and ended):
        raise ValueError(f"bpf/shared.h lacks a marker line: {BEGIN!r} or {END!r}")
    return body


ffibuilder = FFI()
ffibuilder.set_source("sockproxy.bpf._binding", None)
ffibuilder.cdef(LIBBPF)
ffibuilder.cdef(shared_header())
