/* Faults of input and output, for LD_PRELOAD: the N-th call below a folder crashes, fails or writes half.
 *
 * The state is a file mapped by every process of the tree, so that they count as one. faults.py writes it.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* What a call does; the same numbers in faults.py. */
enum { WRITE = 1, ALLOCATE = 2, CHANGE = 4, CLOSE = 8, READ = 16 };
/* What happens at the N-th call. */
enum { KILL = 1, HALF = 2, FAIL = 4, STAY = 8 };

struct state {
    long armed, calls, action, error, at, count, struck, log;
    char root[PATH_MAX];
};

static struct state *state;
static int journal = -1;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("FAULTS_STATE");
    int file = path ? syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *map = mmap(NULL, sizeof *state, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    syscall(SYS_close, file);
    if (map == MAP_FAILED) return;
    state = map;
    char log[PATH_MAX];
    snprintf(log, sizeof log, "%s.log", path);
    journal = syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (journal >= 0) {
        /* Out of the way of programs that number their own files. */
        int high = syscall(SYS_fcntl, journal, F_DUPFD_CLOEXEC, 900);
        if (high >= 0) syscall(SYS_close, journal), journal = high;
    }
}

static int below(const char *path) {
    size_t n = strlen(state->root);
    return n && !strncmp(path, state->root, n) && (path[n] == '/' || !path[n]);
}

static const char *of_fd(int fd, char *out) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = syscall(SYS_readlinkat, AT_FDCWD, link, out, PATH_MAX - 1);
    out[n < 0 ? 0 : n] = 0;
    return out;
}

static const char *full(int dir, const char *path, char *out) {
    if (!path) return "";
    if (*path == '/') return path;
    if (dir == AT_FDCWD) {
        if (syscall(SYS_getcwd, out, PATH_MAX) < 0) return "";
    } else {
        of_fd(dir, out);
    }
    size_t n = strlen(out);
    snprintf(out + n, PATH_MAX - n, "/%s", path);
    return out;
}

/* 0: as it should be; -1: fails, with errno; 1: only half is written. */
static int strike(int calls, const char *name, const char *path, const char *to) {
    if (!state || !state->armed || !(below(path) || (to && below(to)))) return 0;
    if (__atomic_load_n(&state->struck, __ATOMIC_SEQ_CST)) {
        if (state->action & KILL) kill(getpid(), SIGKILL);
        if (!(state->action & STAY) || !(calls & state->calls)) return 0;
        errno = state->error;
        return -1;
    }
    if (!(calls & state->calls)) return 0;
    long count = __atomic_add_fetch(&state->count, 1, __ATOMIC_SEQ_CST);
    /* The struck one too: of several processes, it need not be the one that was counted as the N-th before. */
    if ((state->log || count == state->at) && journal >= 0) {
        char line[3 * PATH_MAX];
        int n = snprintf(line, sizeof line, "%d\t%d\t%s\t%s\t%s\n", calls, getpid(), name, path, to ? to : "");
        syscall(SYS_write, journal, line, (size_t)n);
    }
    if (count != state->at) return 0;
    __atomic_store_n(&state->struck, 1, __ATOMIC_SEQ_CST);
    if (calls & WRITE && state->action & HALF) return 1;
    if (state->action & KILL) {
        kill(0, SIGKILL);
        for (;;) pause();
    }
    if (!(state->action & FAIL)) return 0;
    errno = state->error;
    return -1;
}

/* After half a write. */
static void after_half(void) {
    if (state->action & KILL) {
        kill(0, SIGKILL);
        for (;;) pause();
    }
}

#define NEXT(name) \
    static __typeof__(name) *next; \
    if (!next) next = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

static int opening(int dir, const char *path, int flags, const char *name) {
    char out[PATH_MAX];
    int writes = flags & (O_CREAT | O_TRUNC) || (flags & O_ACCMODE) != O_RDONLY;
    int calls = writes ? CHANGE | (flags & O_CREAT ? ALLOCATE : 0) : READ;
    return strike(calls, name, full(dir, path, out), NULL);
}

#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        va_list rest; va_start(rest, flags); mode_t mode = va_arg(rest, mode_t); va_end(rest); \
        NEXT(name); \
        return opening(AT_FDCWD, path, flags, "open") ? -1 : next(path, flags, mode); \
    }
#define OPENAT(name) \
    int name(int dir, const char *path, int flags, ...) { \
        va_list rest; va_start(rest, flags); mode_t mode = va_arg(rest, mode_t); va_end(rest); \
        NEXT(name); \
        return opening(dir, path, flags, "open") ? -1 : next(dir, path, flags, mode); \
    }
OPEN(open) OPEN(open64) OPENAT(openat) OPENAT(openat64)

#define FOPEN(name) \
    FILE *name(const char *path, const char *mode) { \
        NEXT(name); \
        int flags = *mode == 'r' && !strchr(mode, '+') ? O_RDONLY : *mode == 'r' ? O_RDWR : O_RDWR | O_CREAT; \
        return opening(AT_FDCWD, path, flags, "open") ? NULL : next(path, mode); \
    }
FOPEN(fopen) FOPEN(fopen64)

/* Calls of a descriptor. */
static int of(int fd, int calls, const char *name) {
    char out[PATH_MAX];
    return state && state->armed ? strike(calls, name, of_fd(fd, out), NULL) : 0;
}

static int writing(int fd, size_t size) {
    return of(fd, (size > 1 ? WRITE : 0) | ALLOCATE | CHANGE, "write");
}

ssize_t write(int fd, const void *data, size_t size) {
    NEXT(write);
    int struck = writing(fd, size);
    if (struck < 0) return -1;
    ssize_t n = next(fd, data, struck ? size / 2 : size);
    if (struck) after_half();
    return n;
}

#define PWRITE(name, type) \
    ssize_t name(int fd, const void *data, size_t size, type place) { \
        NEXT(name); \
        int struck = writing(fd, size); \
        if (struck < 0) return -1; \
        ssize_t n = next(fd, data, struck ? size / 2 : size, place); \
        if (struck) after_half(); \
        return n; \
    }
PWRITE(pwrite, off_t) PWRITE(pwrite64, off64_t)

ssize_t writev(int fd, const struct iovec *pieces, int count) {
    NEXT(writev);
    size_t size = 0;
    for (int i = 0; i < count; i++) size += pieces[i].iov_len;
    int struck = writing(fd, size);
    if (struck < 0) return -1;
    if (!struck) return next(fd, pieces, count);
    ssize_t n = write(fd, pieces[0].iov_base, (pieces[0].iov_len + 1) / 2);
    after_half();
    return n;
}

size_t fwrite(const void *data, size_t each, size_t count, FILE *file) {
    NEXT(fwrite);
    int struck = file == stdout || file == stderr ? 0 : writing(fileno(file), each * count);
    if (struck < 0) return 0;
    size_t n = next(data, each, struck ? count / 2 : count, file);
    if (struck) fflush(file), after_half();
    return n;
}

#define SENDFILE(name, type) \
    ssize_t name(int to, int from, type *place, size_t size) { \
        NEXT(name); \
        int struck = writing(to, size); \
        if (struck < 0) return -1; \
        return next(to, from, place, size); \
    }
ssize_t sendfile(int, int, off_t *, size_t);
ssize_t sendfile64(int, int, off64_t *, size_t);
SENDFILE(sendfile, off_t) SENDFILE(sendfile64, off64_t)

ssize_t copy_file_range(int from, off64_t *a, int to, off64_t *b, size_t size, unsigned flags) {
    NEXT(copy_file_range);
    return writing(to, size) < 0 ? -1 : next(from, a, to, b, size, flags);
}

int close(int fd) {
    NEXT(close);
    int flags = state && state->armed ? syscall(SYS_fcntl, fd, F_GETFL) : 0;
    int struck = flags > 0 && (flags & O_ACCMODE) != O_RDONLY ? of(fd, CLOSE, "close") : 0;
    int error = errno, result = next(fd);
    if (struck) errno = error;
    return struck ? -1 : result;
}

#define BY_FD(name, calls, arguments, ...) \
    int name(int fd arguments) { NEXT(name); return of(fd, calls, #name) ? -1 : next(fd __VA_ARGS__); }
#define C ,
BY_FD(fsync, ALLOCATE | CHANGE, )
BY_FD(fdatasync, ALLOCATE | CHANGE, )
BY_FD(ftruncate, ALLOCATE | CHANGE, C off_t size, C size)
BY_FD(ftruncate64, ALLOCATE | CHANGE, C off64_t size, C size)
BY_FD(fchmod, CHANGE, C mode_t mode, C mode)
BY_FD(futimens, CHANGE, C const struct timespec times[2], C times)
BY_FD(fallocate, ALLOCATE | CHANGE, C int mode C off_t from C off_t size, C mode C from C size)
BY_FD(fallocate64, ALLOCATE | CHANGE, C int mode C off64_t from C off64_t size, C mode C from C size)

/* These return the error. */
int posix_fallocate(int fd, off_t from, off_t size) {
    NEXT(posix_fallocate);
    return of(fd, ALLOCATE | CHANGE, "posix_fallocate") ? errno : next(fd, from, size);
}
int posix_fallocate64(int fd, off64_t from, off64_t size) {
    NEXT(posix_fallocate64);
    return of(fd, ALLOCATE | CHANGE, "posix_fallocate") ? errno : next(fd, from, size);
}

/* Calls of one path. */
static int at(int dir, const char *path, int calls, const char *name) {
    char out[PATH_MAX];
    return state && state->armed ? strike(calls, name, full(dir, path, out), NULL) : 0;
}

#define BY_PATH(name, calls, arguments, ...) \
    int name(const char *path arguments) { \
        NEXT(name); \
        return at(AT_FDCWD, path, calls, #name) ? -1 : next(path __VA_ARGS__); \
    }
#define BY_DIR(name, as, calls, arguments, ...) \
    int name(int dir, const char *path arguments) { \
        NEXT(name); \
        return at(dir, path, calls, as) ? -1 : next(dir, path __VA_ARGS__); \
    }
BY_PATH(unlink, CHANGE, )
BY_PATH(rmdir, CHANGE, )
BY_PATH(mkdir, ALLOCATE | CHANGE, C mode_t mode, C mode)
BY_PATH(chmod, CHANGE, C mode_t mode, C mode)
BY_PATH(truncate, CHANGE, C off_t size, C size)
BY_PATH(truncate64, CHANGE, C off64_t size, C size)
BY_DIR(unlinkat, "unlink", CHANGE, C int flags, C flags)
BY_DIR(mkdirat, "mkdir", ALLOCATE | CHANGE, C mode_t mode, C mode)
BY_DIR(fchmodat, "chmod", CHANGE, C mode_t mode C int flags, C mode C flags)
BY_DIR(utimensat, "utimens", CHANGE, C const struct timespec times[2] C int flags, C times C flags)
BY_PATH(stat, READ, C struct stat *out, C out)
BY_PATH(stat64, READ, C struct stat64 *out, C out)
BY_PATH(lstat, READ, C struct stat *out, C out)
BY_PATH(lstat64, READ, C struct stat64 *out, C out)
BY_DIR(fstatat, "stat", READ, C struct stat *out C int flags, C out C flags)
BY_DIR(fstatat64, "stat", READ, C struct stat64 *out C int flags, C out C flags)

DIR *opendir(const char *path) {
    NEXT(opendir);
    return at(AT_FDCWD, path, READ, "opendir") ? NULL : next(path);
}
DIR *fdopendir(int fd) {
    NEXT(fdopendir);
    return of(fd, READ, "opendir") ? NULL : next(fd);
}

ssize_t read(int fd, void *data, size_t size) {
    NEXT(read);
    return of(fd, READ, "read") ? -1 : next(fd, data, size);
}
ssize_t pread(int fd, void *data, size_t size, off_t place) {
    NEXT(pread);
    return of(fd, READ, "read") ? -1 : next(fd, data, size, place);
}
ssize_t pread64(int fd, void *data, size_t size, off64_t place) {
    NEXT(pread64);
    return of(fd, READ, "read") ? -1 : next(fd, data, size, place);
}

/* Calls of two paths. */
static int between(int a, const char *from, int b, const char *to, const char *name) {
    char one[PATH_MAX], other[PATH_MAX];
    if (!state || !state->armed) return 0;
    return strike(ALLOCATE | CHANGE, name, full(a, from, one), full(b, to, other));
}
int rename(const char *from, const char *to) {
    NEXT(rename);
    return between(AT_FDCWD, from, AT_FDCWD, to, "rename") ? -1 : next(from, to);
}
int renameat(int a, const char *from, int b, const char *to) {
    NEXT(renameat);
    return between(a, from, b, to, "rename") ? -1 : next(a, from, b, to);
}
int renameat2(int a, const char *from, int b, const char *to, unsigned flags) {
    NEXT(renameat2);
    return between(a, from, b, to, "rename") ? -1 : next(a, from, b, to, flags);
}
int link(const char *from, const char *to) {
    NEXT(link);
    return between(AT_FDCWD, from, AT_FDCWD, to, "link") ? -1 : next(from, to);
}
int linkat(int a, const char *from, int b, const char *to, int flags) {
    NEXT(linkat);
    return between(a, from, b, to, "link") ? -1 : next(a, from, b, to, flags);
}
int symlink(const char *from, const char *to) {
    NEXT(symlink);
    return at(AT_FDCWD, to, ALLOCATE | CHANGE, "symlink") ? -1 : next(from, to);
}
int msync(void *start, size_t size, int flags) {
    NEXT(msync);
    if (!state || !state->armed) return next(start, size, flags);
    return strike(ALLOCATE | CHANGE, "msync", state->root, NULL) ? -1 : next(start, size, flags);
}
