/* The manual of keyturnctl and its tables say the same; every command line of the pages is one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "exit_code.h"
#include "options.h"

enum { PAGE_MAX = 1 << 20 };

static char *load(const char *path)
{
	char *text = calloc(1, PAGE_MAX);
	FILE *file = fopen(path, "r");

	assert_non_null(text);
	assert_non_null(file);
	assert_in_range(fread(text, 1, PAGE_MAX - 1, file), 1000, PAGE_MAX - 2);
	assert_int_equal(fclose(file), 0);
	return text;
}

static char *load_page(void)
{
	return load(KT_SOURCE "/docs/keyturnctl.1");
}

/* The next line from *at that begins with @start; its rest up to a blank goes to @word. */
static bool next_item(const char **at, const char *start, char word[static 64])
{
	const char *found = strstr(*at, start);
	size_t len = 0;

	if (found == NULL)
		return false;
	found += strlen(start);
	len = strcspn(found, " \n");
	assert_in_range(len, 1, 63);
	memcpy(word, found, len);
	word[len] = '\0';
	*at = found + len;
	return true;
}

static void the_page_lists_exactly_the_commands(void **state)
{
	char *text = load_page();
	const char *at = strstr(text, "\n.Ss Commands");
	char word[64];

	(void)state;
	assert_non_null(at);
	for (size_t i = 0; kt_ctl_command_at(i) != NULL; i++) {
		assert_true(next_item(&at, "\n.It Ic ", word));
		assert_string_equal(word, kt_ctl_command_at(i)->name);
	}
	assert_false(next_item(&at, "\n.It Ic ", word));
	free(text);
}

static void the_page_lists_exactly_the_options(void **state)
{
	char *text = load_page();
	const char *at = strstr(text, "\n.Ss Options");
	char word[64];

	(void)state;
	assert_non_null(at);
	for (int i = 0; i < (int)KT_CTL_OPTION_COUNT; i++) {
		const char *argument = kt_ctl_option_argument((enum kt_ctl_option)i);
		char expected[96];

		assert_true(next_item(&at, "\n.It Fl -", word));
		assert_string_equal(word, kt_ctl_option_name((enum kt_ctl_option)i));
		(void)snprintf(expected, sizeof(expected), "%s%s\n", argument != NULL ? " Ar " : "",
			       argument != NULL ? argument : "");
		assert_memory_equal(at, expected, strlen(expected));
	}
	assert_false(next_item(&at, "\n.It Fl -", word));
	free(text);
}

static void the_page_lists_exactly_the_exit_codes(void **state)
{
	static const struct {
		int number;
		const char *text;
	} codes[] = {
#define CODE(code, number, text) {(number), (text)},
		KT_CTL_EXIT_LIST(CODE)
#undef CODE
	};
	char *text = load_page();
	const char *at = strstr(text, "\n.Sh EXIT STATUS");
	const char *end = strstr(text, "\n.Sh EXAMPLES");
	char word[64];

	(void)state;
	assert_non_null(at);
	assert_non_null(end);
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		char expected[160];

		(void)snprintf(expected, sizeof(expected), "\n.It %d\n%s\n", codes[i].number,
			       codes[i].text);
		at = strstr(at, expected);
		if (at == NULL)
			fail_msg("the page does not say: %d %s", codes[i].number, codes[i].text);
		at += strlen(expected) - 1;
	}
	assert_true(!next_item(&at, "\n.It ", word) || at > end);
	free(text);
}

/* --- command lines in the pages ------------------------------------------------------------- */

enum { LINE_MAX_LEN = 400, WORDS_MAX = 32 };

/* Splits at blanks and ends of lines; a shell's "\\" (mdoc's "\\e") and what follows "#", ">" or
 * "|" is not the program's. @key_id stands in for the pages' placeholders. */
static int split(char *line, char *key_id, char *words[WORDS_MAX])
{
	int count = 0;

	for (char *word = line + strspn(line, " \n"); *word != '\0'; word += strspn(word, " \n")) {
		char *end = word + strcspn(word, " \n");
		const bool is_last = *end == '\0';

		*end = '\0';
		if (strcmp(word, "#") == 0 || strcmp(word, ">") == 0 || strcmp(word, "|") == 0)
			break;
		assert_in_range(count, 0, WORDS_MAX - 2);
		if (strcmp(word, "\\") != 0 && strcmp(word, "\\e") != 0)
			words[count++] =
				strcmp(word, "KEY_ID") == 0 || strcmp(word, "FINGERPRINT") == 0
					? key_id
					: word;
		word = is_last ? end : end + 1;
	}
	words[count] = NULL;
	return count;
}

/* The length of the command line at @at: to the closing quote, or over continued lines. */
static size_t line_len(const char *at, bool is_quoted)
{
	const char *end = at + strcspn(at, is_quoted ? "`" : "\n");

	while (!is_quoted && (end[-1] == '\\' || (end[-1] == 'e' && end[-2] == '\\')))
		end += 1 + strcspn(end + 1, "\n");
	return (size_t)(end - at);
}

static void must_be_one(const char *at, size_t len, bool is_quoted)
{
	struct kt_ctl_args args;
	char key_id[] = "abababababababababababababababababababababababababababababababab";
	char line[LINE_MAX_LEN];
	char *words[WORDS_MAX];
	char why[KT_CTL_WHY_MAX];
	int count = 0;

	assert_in_range(len, 1, LINE_MAX_LEN - 1);
	memcpy(line, at, len);
	line[len] = '\0';
	count = split(line, key_id, words);
	/* in a sentence a command may be named without its words */
	if (kt_ctl_args_parse(count, words, &args, why) != KT_ERR_OK &&
	    (!is_quoted || strncmp(why, "usage: ", 7) != 0))
		fail_msg("a page says '%.*s': %s", (int)len, at, why);
	kt_ctl_args_clear(&args);
}

static void every_command_line_in_the_pages_is_one(void **state)
{
	static const struct {
		const char *path;
		size_t count; /* at least: or this test looks at nothing */
	} pages[] = {
		{KT_SOURCE "/docs/OPERATIONS.md", 25},
		{KT_SOURCE "/docs/keyturnctl.1", 8},
		{KT_SOURCE "/README.md", 4},
	};
	static const char name[] = "keyturnctl ";

	(void)state;
	for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
		char *text = load(pages[i].path);
		size_t count = 0;

		for (const char *at = strstr(text, name); at != NULL; at = strstr(at + 1, name)) {
			const char before = at == text ? '\n' : at[-1];

			if (before != '\n' && before != '`')
				continue;
			must_be_one(at, line_len(at, before == '`'), before == '`');
			count++;
		}
		assert_in_range(count, pages[i].count, 1000);
		free(text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_page_lists_exactly_the_commands),
		cmocka_unit_test(the_page_lists_exactly_the_options),
		cmocka_unit_test(the_page_lists_exactly_the_exit_codes),
		cmocka_unit_test(every_command_line_in_the_pages_is_one),
	};

	return cmocka_run_group_tests_name("ctl_page", tests, NULL, NULL);
}
