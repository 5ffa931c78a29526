/* The manual of keyturnctl and its tables say the same. */
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

static char *load_page(void)
{
	char *text = calloc(1, 65536);
	FILE *file = fopen(KT_SOURCE "/docs/keyturnctl.1", "r");

	assert_non_null(text);
	assert_non_null(file);
	assert_in_range(fread(text, 1, 65535, file), 1000, 65534);
	assert_int_equal(fclose(file), 0);
	return text;
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_page_lists_exactly_the_commands),
		cmocka_unit_test(the_page_lists_exactly_the_options),
		cmocka_unit_test(the_page_lists_exactly_the_exit_codes),
	};

	return cmocka_run_group_tests_name("ctl_page", tests, NULL, NULL);
}
