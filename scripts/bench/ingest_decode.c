/* Decodes every JPEG of a tar of tars with libjpeg-turbo and nothing else, and
 * prints images and seconds: what ingest with --check-images decode is held against.
 *   cc -O3 -o decode ingest_decode.c -ljpeg -lpthread && ./decode train.tar 2 */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <jpeglib.h>

static struct {
	unsigned char *at;
	size_t size;
} * images;
static size_t count, room, next;

/* walk lists the files of a tar; those of tars in it, too. */
static void walk(unsigned char *p, size_t n) {
	for (size_t at = 0; at + 512 <= n && p[at];) {
		char name[101] = {0};
		memcpy(name, p + at, 100);
		size_t size = strtoull((char *)p + at + 124, NULL, 8), len = strlen(name);
		unsigned char *body = p + at + 512;
		if (at + 512 + size > n)
			exit((fprintf(stderr, "%s: truncated\n", name), 1));
		if (len > 4 && !strcmp(name + len - 4, ".tar")) {
			walk(body, size);
		} else if (size > 0) {
			if (count == room)
				images = realloc(images, (room = room ? 2 * room : 4096) * sizeof *images);
			images[count].at = body, images[count++].size = size;
		}
		at += 512 + (size + 511) / 512 * 512;
	}
}

static void *decode(void *unused) {
	struct jpeg_decompress_struct d;
	struct jpeg_error_mgr err;
	unsigned char *out = NULL;
	size_t have = 0;
	d.err = jpeg_std_error(&err);
	jpeg_create_decompress(&d);
	for (size_t i; (i = __sync_fetch_and_add(&next, 1)) < count;) {
		jpeg_mem_src(&d, images[i].at, images[i].size);
		jpeg_read_header(&d, TRUE);
		d.out_color_space = JCS_RGB;
		jpeg_start_decompress(&d);
		size_t stride = (size_t)d.output_width * 3, want = stride * d.output_height;
		if (want > have)
			out = realloc(out, have = want);
		while (d.output_scanline < d.output_height) {
			JSAMPROW row = out + stride * d.output_scanline;
			jpeg_read_scanlines(&d, &row, 1);
		}
		jpeg_finish_decompress(&d);
	}
	jpeg_destroy_decompress(&d);
	return unused;
}

int main(int argc, char **argv) {
	if (argc != 3)
		return fprintf(stderr, "usage: decode TAR THREADS\n"), 2;
	int f = open(argv[1], O_RDONLY), threads = atoi(argv[2]);
	struct stat s;
	if (f < 0 || fstat(f, &s))
		return perror(argv[1]), 1;
	unsigned char *p = mmap(NULL, s.st_size, PROT_READ, MAP_PRIVATE, f, 0);
	if (p == MAP_FAILED || threads < 1 || threads > 256)
		return perror("mmap"), 1;
	struct timespec a, b;
	clock_gettime(CLOCK_MONOTONIC, &a);
	walk(p, s.st_size);
	pthread_t t[256];
	for (int i = 0; i < threads; i++)
		pthread_create(&t[i], NULL, decode, NULL);
	for (int i = 0; i < threads; i++)
		pthread_join(t[i], NULL);
	clock_gettime(CLOCK_MONOTONIC, &b);
	printf("%zu %.3f\n", count, b.tv_sec - a.tv_sec + (b.tv_nsec - a.tv_nsec) / 1e9);
	return 0;
}
