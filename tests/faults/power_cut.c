/* A disk that loses power: what was not synced is gone.

   Preloaded into a process, it keeps a second image of every file below POWER_CUT_FROM in POWER_CUT_TO. The image changes
   only where the disk promises that it does: at fsync and fdatasync the file's bytes go over, at rename and unlink its name
   does. To cut the power, kill the process and read the image. With POWER_CUT_LIES set, the disk says "synced" and is not.
*/
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int image_of(const char *path, char *image) {
    const char *from = getenv("POWER_CUT_FROM"), *to = getenv("POWER_CUT_TO");
    size_t n = from ? strlen(from) : 0;
    if (!n || !to || strncmp(path, from, n) || path[n] != '/' || strchr(path + n + 1, '/')) return 0;
    return snprintf(image, PATH_MAX, "%s%s", to, path + n) < PATH_MAX;
}

static void keep(int fd) {
    char link[64], path[PATH_MAX], image[PATH_MAX], draft[PATH_MAX + 8], bytes[1 << 16];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n < 0 || getenv("POWER_CUT_LIES")) return;
    path[n] = 0;
    if (!image_of(path, image)) return;
    snprintf(draft, sizeof draft, "%s.draft", image);
    int from = open(path, O_RDONLY), to = open(draft, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (from < 0 || to < 0) _exit(99);
    while ((n = read(from, bytes, sizeof bytes)) > 0)
        if (write(to, bytes, n) != n) _exit(99);
    close(from);
    close(to);
    int (*move)(const char *, const char *) = dlsym(RTLD_NEXT, "rename");
    if (move(draft, image)) _exit(99);
}

int fsync(int fd) {
    keep(fd);
    return 0;
}

int fdatasync(int fd) {
    keep(fd);
    return 0;
}

int unlink(const char *path) {
    int (*real)(const char *) = dlsym(RTLD_NEXT, "unlink");
    char image[PATH_MAX];
    int done = real(path);
    if (!done && image_of(path, image)) real(image);
    return done;
}

int rename(const char *old, const char *new) {
    int (*real)(const char *, const char *) = dlsym(RTLD_NEXT, "rename");
    char before[PATH_MAX], after[PATH_MAX];
    int done = real(old, new);
    if (!done && image_of(old, before) && image_of(new, after)) real(before, after);
    return done;
}
