#include "index.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "bytes.h"
#include "records.h"
#include "registry_dump.h"
#include "registry_internal.h"

struct place {
	char dir[64];
	char path[96];
};

static int setup(void **state)
{
	struct place *place = calloc(1, sizeof(*place));

	memcpy(place->dir, "/tmp/kt-index-XXXXXX", sizeof("/tmp/kt-index-XXXXXX"));
	assert_non_null(mkdtemp(place->dir));
	(void)snprintf(place->path, sizeof(place->path), "%s/index.sqlite", place->dir);
	*state = place;
	return 0;
}

static int teardown(void **state)
{
	static const char *const suffixes[] = {"", "-wal", "-shm", "-journal"};
	struct place *place = *state;
	char name[128];

	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
		(void)snprintf(name, sizeof(name), "%s%s", place->path, suffixes[i]);
		(void)unlink(name);
	}
	assert_int_equal(rmdir(place->dir), 0);
	free(place);
	return 0;
}

static void write_registry(struct kt_index *index, struct kt_registry *r)
{
	struct kt_index_batch *batch = NULL;
	uint8_t head[32];

	memset(head, 0xab, sizeof(head));
	assert_int_equal(kt_index_collect(r, &batch), KT_ERR_OK);
	assert_int_equal(kt_index_write(index, &batch, 1, kt_registry_seq(r), head), KT_ERR_OK);
	kt_index_batch_free(batch);
}

static void loads_as(struct kt_index *index, const struct kt_registry *expected)
{
	struct kt_registry *r = NULL;
	char *one = registry_dump(expected);
	char *other;

	assert_int_equal(kt_registry_new(&r), KT_ERR_OK);
	assert_int_equal(kt_index_load(index, r), KT_ERR_OK);
	registry_audit(r);
	other = registry_dump(r);
	assert_string_equal(one, other);
	free(one);
	free(other);
	kt_registry_free(r);
}

static struct kt_registry *story(size_t count)
{
	struct kt_record records[STORY_COUNT];
	struct kt_registry *r = NULL;

	story_records(records);
	assert_int_equal(kt_registry_new(&r), KT_ERR_OK);
	for (size_t i = 0; i < count; i++)
		take(r, &records[i]);
	return r;
}

static void a_fresh_index_is_empty_and_private(void **state)
{
	const struct place *place = *state;
	struct kt_index *index = NULL;
	struct stat st;
	uint64_t seq = 9;
	uint8_t head[32];
	static const uint8_t zeros[32];

	assert_int_equal(kt_index_open(kt_fs_posix(), place->path, &index), KT_ERR_OK);
	assert_int_equal(kt_index_head(index, &seq, head), KT_ERR_OK);
	assert_true(seq == 0);
	assert_memory_equal(head, zeros, 32);
	assert_int_equal(stat(place->path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	kt_index_close(index);
	kt_index_close(NULL);
}

static void load_gives_back_what_was_written(void **state)
{
	const struct place *place = *state;
	struct kt_index *index = NULL;
	struct kt_registry *r = story(STORY_INDEXED);
	uint64_t seq = 0;
	uint8_t head[32];

	assert_int_equal(kt_index_open(kt_fs_posix(), place->path, &index), KT_ERR_OK);
	write_registry(index, r);
	kt_index_close(index);
	assert_int_equal(kt_index_open(kt_fs_posix(), place->path, &index), KT_ERR_OK);
	assert_int_equal(kt_index_head(index, &seq, head), KT_ERR_OK);
	assert_true(seq == STORY_INDEXED && head[0] == 0xab && head[31] == 0xab);
	loads_as(index, r);
	kt_index_close(index);
	kt_registry_free(r);
}

static void an_imported_certificate_survives_as_generation_0(void **state)
{
	const struct place *place = *state;
	struct kt_index *index = NULL;
	struct kt_registry *r = registry_begun();

	take_kind(r, KT_RECORD_IMPORT, "hub-1", 1);
	take_kind(r, KT_RECORD_IMPORT, "hub-2", 2);
	take_rotated(r, "hub-2", 3);
	assert_int_equal(kt_registry_find_device(r, "hub-1")->current->generation, 0);
	assert_int_equal(kt_registry_find_device(r, "hub-2")->current->generation, 1);
	assert_int_equal(kt_index_open(kt_fs_posix(), place->path, &index), KT_ERR_OK);
	write_registry(index, r);
	kt_index_close(index);
	assert_int_equal(kt_index_open(kt_fs_posix(), place->path, &index), KT_ERR_OK);
	loads_as(index, r);
	kt_index_close(index);
	kt_registry_free(r);
}

static void every_record_of_a_story_can_be_written_alone(void **state)
{
	const struct place *place = *state;
	struct kt_record records[STORY_COUNT];
	struct kt_registry *r = NULL;
	struct kt_index *index = NULL;

	story_records(records);
	assert_int_equal(kt_registry_new(&r), KT_ERR_OK);
	assert_int_equal(kt_index_open(kt_fs_posix(), place->path, &index), KT_ERR_OK);
	for (size_t i = 0; i < STORY_INDEXED; i++) {
		take(r, &records[i]);
		write_registry(index, r);
		loads_as(index, r);
	}
	kt_index_close(index);
	kt_registry_free(r);
}

static void batches_of_one_row_are_written_in_order(void **state)
{
	const struct place *place = *state;
	struct kt_record records[STORY_COUNT];
	struct kt_index_batch *batches[STORY_INDEXED];
	struct kt_registry *r = NULL;
	struct kt_index *index = NULL;
	uint8_t head[32] = {1};

	story_records(records);
	assert_int_equal(kt_registry_new(&r), KT_ERR_OK);
	for (size_t i = 0; i < STORY_INDEXED; i++) {
		take(r, &records[i]);
		assert_int_equal(kt_index_collect(r, &batches[i]), KT_ERR_OK);
	}
	assert_int_equal(kt_index_open(kt_fs_posix(), place->path, &index), KT_ERR_OK);
	assert_int_equal(kt_index_write(index, batches, STORY_INDEXED, STORY_INDEXED, head),
			 KT_ERR_OK);
	loads_as(index, r);
	for (size_t i = 0; i < STORY_INDEXED; i++)
		kt_index_batch_free(batches[i]);
	kt_index_close(index);
	kt_registry_free(r);
}

static void a_loaded_registry_has_nothing_to_write(void **state)
{
	const struct place *place = *state;
	struct kt_index *index = NULL;
	struct kt_registry *r = story(STORY_INDEXED);
	struct kt_registry *loaded = NULL;

	assert_int_equal(kt_index_open(kt_fs_posix(), place->path, &index), KT_ERR_OK);
	write_registry(index, r);
	assert_null(kt_row_take_device(r));
	assert_int_equal(kt_registry_new(&loaded), KT_ERR_OK);
	assert_int_equal(kt_index_load(index, loaded), KT_ERR_OK);
	assert_null(kt_row_take_device(loaded));
	assert_null(kt_row_take_credential(loaded));
	assert_null(kt_row_take_ticket(loaded));
	assert_null(kt_row_take_denied(loaded));
	assert_null(kt_row_take_operator(loaded));
	kt_index_close(index);
	kt_registry_free(r);
	kt_registry_free(loaded);
}

static void the_largest_numbers_survive(void **state)
{
	const struct place *place = *state;
	struct kt_index *index = NULL;
	struct kt_registry *r = registry_begun();
	struct kt_record rec;

	take_enrolled(r, "hub-1", 1);
	rec = record_for(r, KT_RECORD_OP_RAISE, "hub-1", 1);
	rec.op = UINT64_MAX;
	rec.time_us = INT64_MAX;
	take(r, &rec);
	assert_int_equal(kt_index_open(kt_fs_posix(), place->path, &index), KT_ERR_OK);
	write_registry(index, r);
	loads_as(index, r);
	kt_index_close(index);
	kt_registry_free(r);
}

static void clear_empties_it(void **state)
{
	const struct place *place = *state;
	struct kt_index *index = NULL;
	struct kt_registry *r = story(STORY_INDEXED);
	struct kt_registry *empty = NULL;
	uint64_t seq = 9;
	uint8_t head[32];

	assert_int_equal(kt_registry_new(&empty), KT_ERR_OK);
	assert_int_equal(kt_index_open(kt_fs_posix(), place->path, &index), KT_ERR_OK);
	write_registry(index, r);
	assert_int_equal(kt_index_clear(index), KT_ERR_OK);
	assert_int_equal(kt_index_head(index, &seq, head), KT_ERR_OK);
	assert_true(seq == 0);
	loads_as(index, empty);
	kt_index_close(index);
	kt_registry_free(r);
	kt_registry_free(empty);
}

static void put_file(const char *path, const void *bytes, size_t len, long at)
{
	FILE *f = fopen(path, at == 0 ? "we" : "r+e");

	assert_non_null(f);
	assert_int_equal(fseek(f, at, SEEK_SET), 0);
	assert_int_equal(fwrite(bytes, 1, len, f), len);
	assert_int_equal(fclose(f), 0);
}

static void a_file_that_is_no_index_is_corrupt(void **state)
{
	const struct place *place = *state;
	struct kt_index *index = NULL;
	uint8_t garbage[8192];

	memset(garbage, 'x', sizeof(garbage));
	put_file(place->path, garbage, sizeof(garbage), 0);
	assert_int_equal(kt_index_open(kt_fs_posix(), place->path, &index), KT_ERR_CORRUPT);
	assert_null(index);
}

static void damaged_pages_are_corrupt(void **state)
{
	const struct place *place = *state;
	struct kt_index *index = NULL;
	struct kt_registry *r = story(STORY_INDEXED);
	struct kt_registry *loaded = NULL;
	uint8_t garbage[64];
	enum kt_err err;

	memset(garbage, 0xff, sizeof(garbage));
	assert_int_equal(kt_index_open(kt_fs_posix(), place->path, &index), KT_ERR_OK);
	write_registry(index, r);
	kt_index_close(index);
	put_file(place->path, garbage, sizeof(garbage), 4096 * 2);
	err = kt_index_open(kt_fs_posix(), place->path, &index);
	assert_int_equal(err, KT_ERR_CORRUPT);
	kt_index_close(index);
	kt_registry_free(loaded);
	kt_registry_free(r);
}

static void two_openers_are_one_too_many(void **state)
{
	const struct place *place = *state;
	struct kt_index *index = NULL;
	struct kt_index *second = NULL;

	assert_int_equal(kt_index_open(kt_fs_posix(), place->path, &index), KT_ERR_OK);
	assert_int_equal(kt_index_open(kt_fs_posix(), place->path, &second), KT_ERR_BUSY);
	assert_null(second);
	kt_index_close(index);
}

static void an_unwritable_place_is_a_system_error(void **state)
{
	const struct place *place = *state;
	struct kt_index *index = NULL;
	char path[160];

	(void)snprintf(path, sizeof(path), "%s/none/index.sqlite", place->dir);
	assert_int_equal(kt_index_open(kt_fs_posix(), path, &index), KT_ERR_SYS);
	assert_null(index);
}

#define V1 KT_VECTORS "/formats/index-v1.sqlite"
#define V2 KT_VECTORS "/formats/index-v2.sqlite"
#define V3 KT_VECTORS "/formats/index-v3.sqlite"
#define V4 KT_VECTORS "/formats/index-v4.sqlite"
#define V5 KT_VECTORS "/formats/index-v5.sqlite"

static void copy_vector(const char *from, const char *to)
{
	uint8_t bytes[65536];
	FILE *f = fopen(from, "re");
	size_t len;

	assert_non_null(f);
	len = fread(bytes, 1, sizeof(bytes), f);
	assert_int_equal(fclose(f), 0);
	assert_true(len > 4096 && len < sizeof(bytes));
	put_file(to, bytes, len, 0);
}

static void reads_version_5_and_refuses_version_6(void **state)
{
	static const uint8_t version_6[] = {0, 0, 0, 6};
	const struct place *place = *state;
	struct kt_registry *r = story(STORY_INDEXED);
	struct kt_index *index = NULL;

	copy_vector(V5, place->path);
	assert_int_equal(kt_index_open(kt_fs_posix(), place->path, &index), KT_ERR_OK);
	loads_as(index, r);
	kt_index_close(index);
	copy_vector(V5, place->path);
	put_file(place->path, version_6, sizeof(version_6), 60); /* user_version */
	assert_int_equal(kt_index_open(kt_fs_posix(), place->path, &index), KT_ERR_VERSION);
	assert_null(index);
	kt_registry_free(r);
}

/* They can be made anew from the ledger: nothing is migrated. */
static void versions_1_to_4_are_to_be_rebuilt(void **state)
{
	static const char *const older[] = {V1, V2, V3, V4};
	const struct place *place = *state;
	struct kt_index *index = NULL;

	for (size_t i = 0; i < sizeof(older) / sizeof(older[0]); i++) {
		copy_vector(older[i], place->path);
		assert_int_equal(kt_index_open(kt_fs_posix(), place->path, &index), KT_ERR_CORRUPT);
		assert_null(index);
	}
}

/* SQLite does not notice most of them: the digests do. */
static void no_changed_bit_is_believed(void **state)
{
	const struct place *place = *state;
	struct kt_registry *r = story(STORY_INDEXED);
	size_t len = 0;
	size_t noticed = 0;
	uint8_t *bytes;

	copy_vector(V5, place->path);
	bytes = read_file(place->path, &len);
	for (size_t i = 0; i < len; i += 11) {
		struct kt_registry *loaded = NULL;
		struct kt_index *index = NULL;
		uint8_t head[32];
		uint64_t seq;

		bytes[i] ^= (uint8_t)(1 << i % 8);
		put_file(place->path, bytes, len, 0);
		bytes[i] ^= (uint8_t)(1 << i % 8);
		assert_int_equal(kt_registry_new(&loaded), KT_ERR_OK);
		if (kt_index_open(kt_fs_posix(), place->path, &index) != KT_ERR_OK ||
		    kt_index_head(index, &seq, head) != KT_ERR_OK ||
		    kt_index_load(index, loaded) != KT_ERR_OK)
			noticed++;
		else
			loads_as(index, r);
		kt_index_close(index);
		kt_registry_free(loaded);
	}
	assert_in_range(noticed, len / 11 / 16, len / 11);
	free(bytes);
	kt_registry_free(r);
}

/* SQLite takes "INTEGERxPRIMARY KEY" for a type: no later write of the head would find its row. */
static void no_changed_byte_of_a_table_s_text_is_taken(void **state)
{
	static const char text[] = "CREATE TABLE ";
	const struct place *place = *state;
	struct kt_index *index = NULL;
	size_t len = 0;
	size_t changed = 0;
	uint8_t *bytes;
	uint8_t *end;

	copy_vector(V5, place->path);
	bytes = read_file(place->path, &len);
	end = bytes + len;
	for (uint8_t *at = memmem(bytes, len, text, strlen(text)); at != NULL;
	     at = memmem(at, (size_t)(end - at), text, strlen(text))) {
		for (; *at != ')'; at++, changed++) {
			*at ^= 0x1e;
			put_file(place->path, bytes, len, 0);
			*at ^= 0x1e;
			assert_int_not_equal(kt_index_open(kt_fs_posix(), place->path, &index),
					     KT_ERR_OK);
			assert_null(index);
		}
	}
	assert_in_range(changed, 6 * 60, 6 * 1000);
	put_file(place->path, bytes, len, 0);
	assert_int_equal(kt_index_open(kt_fs_posix(), place->path, &index), KT_ERR_OK);
	kt_index_close(index);
	free(bytes);
}

static void another_application_s_file_is_not_ours(void **state)
{
	static const uint8_t other[] = {1, 2, 3, 4};
	const struct place *place = *state;
	struct kt_index *index = NULL;

	copy_vector(V5, place->path);
	put_file(place->path, other, sizeof(other), 68); /* application_id */
	assert_int_equal(kt_index_open(kt_fs_posix(), place->path, &index), KT_ERR_CORRUPT);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_fresh_index_is_empty_and_private),
		T(load_gives_back_what_was_written),
		T(an_imported_certificate_survives_as_generation_0),
		T(every_record_of_a_story_can_be_written_alone),
		T(batches_of_one_row_are_written_in_order),
		T(a_loaded_registry_has_nothing_to_write),
		T(the_largest_numbers_survive),
		T(clear_empties_it),
		T(a_file_that_is_no_index_is_corrupt),
		T(damaged_pages_are_corrupt),
		T(two_openers_are_one_too_many),
		T(an_unwritable_place_is_a_system_error),
		T(reads_version_5_and_refuses_version_6),
		T(versions_1_to_4_are_to_be_rebuilt),
		T(no_changed_bit_is_believed),
		T(no_changed_byte_of_a_table_s_text_is_taken),
		T(another_application_s_file_is_not_ours),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
