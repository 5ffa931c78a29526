/* What a peer said comes out as printable ASCII, in lines, tables and JSON. */
#include "print.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct paper { /* a stream whose text can be looked at */
	FILE *file;
	char *text;
	size_t len;
};

static void open_paper(struct paper *paper)
{
	memset(paper, 0, sizeof(*paper));
	paper->file = open_memstream(&paper->text, &paper->len);
	assert_non_null(paper->file);
}

/* Everything that was printed, and nothing else. */
static void close_paper(struct paper *paper, const char *expected)
{
	assert_int_equal(fclose(paper->file), 0);
	assert_string_equal(paper->text, expected);
	assert_int_equal(paper->len, strlen(expected));
	free(paper->text);
}

static struct kt_json *parsed(const char *text)
{
	static const struct kt_json_limits limits = {
		.size_max = 65536, .depth_max = 8, .tokens_max = 256};
	struct kt_json *json = NULL;

	assert_int_equal(kt_json_parse((const uint8_t *)text, strlen(text), &limits, &json),
			 KT_ERR_OK);
	return json;
}

/* --- lines ------------------------------------------------------------------------------------ */

static void every_byte_but_printable_ascii_is_spelled_out(void **state)
{
	(void)state;
	for (int c = 1; c < 256; c++) {
		const char text[2] = {(char)c, '\0'};
		struct paper paper;
		char expected[16];

		if (c == '\\')
			(void)snprintf(expected, sizeof(expected), "\\\\\n");
		else if (c >= 0x20 && c < 0x7f)
			(void)snprintf(expected, sizeof(expected), "%c\n", c);
		else
			(void)snprintf(expected, sizeof(expected), "\\x%02x\n", (unsigned)c);
		open_paper(&paper);
		kt_print(paper.file, "%s", text);
		close_paper(&paper, expected);
	}
}

static void a_line_is_one_line(void **state)
{
	struct paper paper;

	(void)state;
	open_paper(&paper);
	kt_print(paper.file, "a: %s", "x\nkeyturnctl: b: done\r\n");
	kt_print(paper.file, "%s", "");
	close_paper(&paper, "a: x\\x0akeyturnctl: b: done\\x0d\\x0a\n\n");
}

static void what_is_spelled_out_cannot_be_typed(void **state)
{
	struct paper paper;

	(void)state;
	open_paper(&paper);
	kt_print(paper.file, "%s", "\\x1b");
	kt_print(paper.file, "%s", "\x1b");
	close_paper(&paper, "\\\\x1b\n\\x1b\n");
}

static void a_long_line_is_whole(void **state)
{
	enum { LEN = 100000 };
	struct paper paper;
	char *text = malloc(LEN + 2);

	(void)state;
	assert_non_null(text);
	memset(text, 'z', LEN);
	text[LEN] = '\0';
	open_paper(&paper);
	kt_print(paper.file, "%s", text);
	text[LEN] = '\n';
	text[LEN + 1] = '\0';
	close_paper(&paper, text);
	free(text);
}

static void a_pair_stands_in_two_columns(void **state)
{
	struct paper paper;

	(void)state;
	open_paper(&paper);
	kt_print_pair(paper.file, "group", "north");
	kt_print_pair(paper.file, "a.name.that.is.longer.than.its.column", "\t");
	close_paper(&paper, "group                  north\n"
			    "a.name.that.is.longer.than.its.column \\x09\n");
}

static void a_full_disk_sticks_to_the_stream(void **state)
{
	FILE *file = fopen("/dev/full", "w");

	(void)state;
	assert_non_null(file);
	kt_print(file, "%s", "a");
	assert_int_not_equal(fflush(file), 0);
	assert_int_not_equal(ferror(file), 0);
	(void)fclose(file);
}

/* --- JSON ------------------------------------------------------------------------------------- */

static void json_stays_the_same_document_in_ascii(void **state)
{
	static const struct {
		const char *in;
		const char *out;
	} cases[] = {
		{"{}", "{}\n"},
		{"{ \"a\" : [ 1 , true , \"x\" ] }", "{\"a\":[1,true,\"x\"]}\n"},
		{"{\"a\":\"\xc3\xa4\"}", "{\"a\":\"\\u00e4\"}\n"},
		{"{\"\xc3\xa4\":1}", "{\"\\u00e4\":1}\n"},
		{"{\"a\":\"\xe2\x82\xac\"}", "{\"a\":\"\\u20ac\"}\n"},
		{"{\"a\":\"\xf0\x9f\x98\x80\"}", "{\"a\":\"\\ud83d\\ude00\"}\n"},
		{"{\"a\":\"\xf4\x8f\xbf\xbf\"}", "{\"a\":\"\\udbff\\udfff\"}\n"},
		{"{\"a\":\"\xf0\x90\x80\x80\"}", "{\"a\":\"\\ud800\\udc00\"}\n"},
		{"{\"a\":\"\xe2\x80\xae\"}", "{\"a\":\"\\u202e\"}\n"}, /* right to left */
		{"{\"a\":\"\xc2\x9b\"}", "{\"a\":\"\\u009b\"}\n"},     /* CSI in one byte */
		{"{\"a\":\"\x7f\"}", "{\"a\":\"\\u007f\"}\n"},
		{"{\"a\":\"\\u001b[2J\"}", "{\"a\":\"\\u001b[2J\"}\n"},
		{"{\"a\":\"\\n\\\"\\\\\"}", "{\"a\":\"\\n\\\"\\\\\"}\n"},
		{"{\"a\":-9007199254740991}", "{\"a\":-9007199254740991}\n"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct kt_json *json = parsed(cases[i].in);
		struct paper paper;

		open_paper(&paper);
		assert_int_equal(kt_print_json(paper.file, kt_json_root(json)), KT_ERR_OK);
		kt_json_free(json);
		close_paper(&paper, cases[i].out);
	}
}

static void half_a_character_is_not_read_beyond_its_end(void **state)
{
	struct paper paper;

	(void)state;
	open_paper(&paper);
	kt_print_json_text(paper.file, "\xf0\x9f");
	kt_print_json_text(paper.file, "\xe2");
	close_paper(&paper, "\\u001f\n\\u0002\n");
}

/* --- cells ------------------------------------------------------------------------------------ */

static void a_cell_shows_any_value(void **state)
{
	struct kt_json *json = parsed("{\"s\":\"x y\",\"e\":\"\",\"n\":-5,\"t\":true,\"f\":false,"
				      "\"o\":{},\"a\":[1],\"z\":null}");
	static const struct {
		const char *name;
		const char *cell;
	} cases[] = {{"s", "x y"}, {"e", ""},  {"n", "-5"}, {"t", "yes"}, {"f", "no"},
		     {"o", "?"},   {"a", "?"}, {"z", "?"},  {"none", "-"}};
	char cell[KT_CELL_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		kt_cell_of(kt_json_member(kt_json_root(json), cases[i].name), cell);
		assert_string_equal(cell, cases[i].cell);
	}
	kt_json_free(json);
}

static void a_cell_that_is_cut_says_so(void **state)
{
	char text[256];
	char cell[KT_CELL_MAX];

	(void)state;
	for (size_t len = KT_CELL_MAX - 3; len < KT_CELL_MAX + 3; len++) {
		struct kt_json *json = NULL;

		(void)snprintf(text, sizeof(text), "{\"a\":\"%0*d\"}", (int)len, 7);
		json = parsed(text);
		kt_cell_of(kt_json_member(kt_json_root(json), "a"), cell);
		kt_json_free(json);
		assert_int_equal(strlen(cell), len < KT_CELL_MAX ? len : KT_CELL_MAX - 1);
		assert_string_equal(cell + strlen(cell) - 3, len < KT_CELL_MAX ? "007" : "...");
	}
}

/* --- tables ----------------------------------------------------------------------------------- */

static void print_table(const char *const *columns, const char *const *cells, enum kt_err err,
			const char *expected)
{
	struct kt_ctl_table *table = NULL;
	struct paper paper;

	assert_int_equal(kt_ctl_table_new(columns, &table), KT_ERR_OK);
	for (size_t i = 0; cells[i] != NULL; i++)
		kt_ctl_table_add(table, cells[i]);
	open_paper(&paper);
	assert_int_equal(kt_ctl_table_print(table, paper.file), err);
	close_paper(&paper, expected);
	kt_ctl_table_free(table);
}

static void columns_are_as_wide_as_their_widest_cell(void **state)
{
	static const char *const columns[] = {"A", "NAME", "LAST", NULL};
	static const char *const none[] = {NULL};
	static const char *const two[] = {"long-one", "b", "c", "d", "", "a cell that is long",
					  NULL};
	static const char *const half[] = {"a", "b", "c", "a row that has no end", NULL};

	(void)state;
	print_table(columns, none, KT_ERR_OK, "A  NAME  LAST\n");
	print_table(columns, two, KT_ERR_OK,
		    "A         NAME  LAST\n"
		    "long-one  b     c\n"
		    "d               a cell that is long\n");
	print_table(columns, half, KT_ERR_OK,
		    "A                      NAME  LAST\n"
		    "a                      b     c\n");
}

static void a_cell_cannot_leave_its_row(void **state)
{
	static const char *const columns[] = {"A", "B", NULL};
	static const char *const cells[] = {"a\nb", "\x1b[1A", "\xc3\xa4\\", "x", NULL};

	(void)state;
	print_table(columns, cells, KT_ERR_OK,
		    "A           B\n"
		    "a\\x0ab      \\x1b[1A\n"
		    "\\xc3\\xa4\\\\  x\n");
}

static void a_table_without_columns_is_refused(void **state)
{
	static const char *const columns[] = {NULL};
	static const char *const cells[] = {"a", NULL};

	(void)state;
	print_table(columns, cells, KT_ERR_INVALID, "");
}

static void only_so_many_columns_are_known(void **state)
{
	static const char *const columns[] = {"1", "2", "3", "4",  "5", "6",
					      "7", "8", "9", "10", NULL};
	static const char *const none[] = {NULL};

	(void)state;
	print_table(columns, none, KT_ERR_OK, "1  2  3  4  5  6  7  8  9\n");
	kt_ctl_table_free(NULL);
}

static void a_table_of_thousands_is_whole(void **state)
{
	static const char *const columns[] = {"N", NULL};
	struct kt_ctl_table *table = NULL;
	struct paper paper;
	size_t lines = 0;
	char cell[16];

	(void)state;
	assert_int_equal(kt_ctl_table_new(columns, &table), KT_ERR_OK);
	for (int i = 0; i < 5000; i++) {
		(void)snprintf(cell, sizeof(cell), "%d", i);
		kt_ctl_table_add(table, cell);
	}
	open_paper(&paper);
	assert_int_equal(kt_ctl_table_print(table, paper.file), KT_ERR_OK);
	assert_int_equal(fclose(paper.file), 0);
	for (const char *at = paper.text; *at != '\0'; at++)
		lines += *at == '\n';
	assert_int_equal(lines, 5001);
	assert_string_equal(paper.text + paper.len - 10, "4998\n4999\n");
	free(paper.text);
	kt_ctl_table_free(table);
}

int main(void)
{
#define T(test) cmocka_unit_test(test)
	const struct CMUnitTest tests[] = {
		T(every_byte_but_printable_ascii_is_spelled_out),
		T(a_line_is_one_line),
		T(what_is_spelled_out_cannot_be_typed),
		T(a_long_line_is_whole),
		T(a_pair_stands_in_two_columns),
		T(a_full_disk_sticks_to_the_stream),
		T(json_stays_the_same_document_in_ascii),
		T(half_a_character_is_not_read_beyond_its_end),
		T(a_cell_shows_any_value),
		T(a_cell_that_is_cut_says_so),
		T(columns_are_as_wide_as_their_widest_cell),
		T(a_cell_cannot_leave_its_row),
		T(a_table_without_columns_is_refused),
		T(only_so_many_columns_are_known),
		T(a_table_of_thousands_is_whole),
	};
#undef T

	return cmocka_run_group_tests_name("ctl_print", tests, NULL, NULL);
}
