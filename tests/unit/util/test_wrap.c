#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "util/wrap.h"

static void check(const char *prefix, size_t width, const char *text, const char *expected)
{
    char *shown = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&shown, &size);

    assert_non_null(out);
    if (prefix != NULL)
        wrap_print(out, prefix, width, text);
    else
        wrap_print_roff(out, text);
    assert_int_equal(fclose(out), 0);
    assert_string_equal(shown, expected);
    free(shown);
}

/* Lines break at blanks, within the width that counts the prefix; a longer word stays whole. */
static void test_width(void **state)
{
    (void)state;
    check("", 9, "one two three", "one two\nthree\n");
    check("# ", 9, "one two three", "# one two\n# three\n");
    check("", 4, "four fives sixsix", "four\nfives\nsixsix\n");
    check("", 20, "  ", "  \n");
    check("", 20, "", "");
}

/* For roff each sentence begins a line, and what would be a request, an escape or a hyphen is none.
 */
static void test_roff(void **state)
{
    (void)state;
    check(NULL, 0, "One. Two; three. Four.", "One.\nTwo; three.\nFour.\n");
    check(NULL, 0, ".env is read", "\\&.env is read\n");
    check(NULL, 0, "'quoted' a\\b", "\\&'quoted' a\\eb\n");
    check(NULL, 0, "With --wait or -c: well-known", "With \\-\\-wait or \\-c: well-known\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_width),
        cmocka_unit_test(test_roff),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
