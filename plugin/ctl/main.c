/* keyturnctl: the streams, the terminal, chance; everything else is in kt_ctl_main. */
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "crypto.h"
#include "ctl.h"
#include "encoding.h"
#include "print.h"

static enum kt_err make_token(char out[static KT_CTL_TOKEN_LEN + 1])
{
	uint8_t bytes[KT_CTL_TOKEN_LEN / 2];
	struct kt_crypto *crypto = NULL;
	enum kt_err err = kt_crypto_new(&crypto);

	if (err == KT_ERR_OK)
		err = kt_random(crypto, bytes, sizeof(bytes));
	if (err == KT_ERR_OK)
		err = kt_hex_encode(bytes, sizeof(bytes), out, KT_CTL_TOKEN_LEN + 1);
	kt_crypto_free(crypto);
	return err;
}

int main(int argc, char *argv[])
{
	const struct rlimit none = {0, 0};
	struct kt_ctl_env env = {.in = stdin,
				 .out = stdout,
				 .err = stderr,
				 .has_terminal =
					 isatty(STDIN_FILENO) == 1 && isatty(STDERR_FILENO) == 1,
				 .open_transport = kt_transport_mosquitto};
	enum kt_err err;

	(void)setrlimit(RLIMIT_CORE, &none); /* an answer can hold a ticket */
	err = make_token(env.token);
	if (err != KT_ERR_OK) {
		kt_print(stderr, "keyturnctl: %s", kt_err_text(err));
		return KT_CTL_EXIT_LOCAL;
	}
	return (int)kt_ctl_main(argc, argv, &env);
}
