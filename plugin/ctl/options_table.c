/* The table of commands: what each takes, and who does it. */
#include "commands.h"
#include "options.h"
#include "selector.h"

#define BIT(option) (UINT64_C(1) << KT_CTL_##option)

/* What every command for many devices takes. */
#define SELECTION (BIT(ALL) | BIT(EXPECT) | BIT(DRY_RUN) | BIT(YES))

#define AUDIT                                                                                      \
	(BIT(HEADS) | BIT(ROOT) | BIT(DEVICE) | BIT(ACTOR) | BIT(KIND) | BIT(SINCE) | BIT(UNTIL))

static const struct kt_ctl_command commands[] = {
	{"create-device", "DEVICE", "register a device that will enrol", "created",
	 kt_ctl_create_device, BIT(GROUP) | BIT(KEY_ID), KT_CTL_TAKES_DEVICES, 1, 1},
	{"create-ticket", "[DEVICE]", "print a ticket for a device, or for a group and a pattern",
	 "", kt_ctl_create_ticket,
	 BIT(GROUP) | BIT(PATTERN) | BIT(VALID_FOR) | BIT(BROKER) | BIT(RAW), KT_CTL_TAKES_DEVICES,
	 0, 1},
	{"import", "FILE|DIRECTORY...", "register the certificates of an existing fleet",
	 "imported", kt_ctl_import, BIT(GROUP) | BIT(ID_FROM) | BIT(CHECK), KT_CTL_TAKES_WORDS, 1,
	 KT_CTL_IMPORT_MAX},
	{"list", "[SELECTOR...]", "devices", "", kt_ctl_list, BIT(STATE), KT_CTL_TAKES_SELECTOR, 0,
	 KT_SELECTOR_WORDS_MAX},
	{"show", "DEVICE", "all about one device", "", kt_ctl_show, 0, KT_CTL_TAKES_DEVICES, 1, 1},
	{"pending", "", "keys that wait for approval", "", kt_ctl_pending, 0, KT_CTL_TAKES_NOTHING,
	 0, 0},
	{"approve", "KEY_ID DEVICE", "let a waiting key enrol as this device", "approved",
	 kt_ctl_approve, BIT(GROUP), KT_CTL_TAKES_KEY_AND_DEVICE, 2, 2},
	{"deny", "KEY_ID", "refuse a waiting key for good", "denied", kt_ctl_deny, 0,
	 KT_CTL_TAKES_KEY, 1, 1},
	{"set", "DEVICE...|SELECTOR...", "change the group and the labels of devices", "set",
	 kt_ctl_set, SELECTION | BIT(GROUP) | BIT(UNGROUP) | BIT(LABEL) | BIT(UNLABEL),
	 KT_CTL_TAKES_SELECTION, 0, KT_CTL_ROTATE_MAX},
	{"rotate", "DEVICE...|SELECTOR...", "order new keys and certificates", "rotation ordered",
	 kt_ctl_rotate, SELECTION | BIT(NOTE), KT_CTL_TAKES_SELECTION, 0, KT_CTL_ROTATE_MAX},
	{"cancel", "DEVICE...|SELECTOR...", "close a rotation that is not finished", "cancelled",
	 kt_ctl_cancel, SELECTION, KT_CTL_TAKES_SELECTION, 0, KT_CTL_BATCH_MAX},
	{"challenge", "DEVICE...|SELECTOR...", "ask a connected device for a signature made now",
	 "challenged", kt_ctl_challenge, SELECTION | BIT(WAIT), KT_CTL_TAKES_SELECTION, 0,
	 KT_CTL_BATCH_MAX},
	{"campaign", "begin|list|show|pause|resume|abort [WORD...]",
	 "rotate or challenge a fleet step by step", "done", kt_ctl_campaign,
	 SELECTION | BIT(NOTE) | BIT(STATE), KT_CTL_TAKES_WORDS, 1, KT_CTL_CAMPAIGN_MAX},
	{"quarantine", "DEVICE...|SELECTOR...", "leave a device Keyturn's own topics only",
	 "quarantined", kt_ctl_quarantine, SELECTION | BIT(NOTE), KT_CTL_TAKES_SELECTION, 0,
	 KT_CTL_BATCH_MAX},
	{"release", "DEVICE...|SELECTOR...", "end a quarantine, or the freeze of a rotation",
	 "released", kt_ctl_release, SELECTION | BIT(FREEZE), KT_CTL_TAKES_SELECTION, 0,
	 KT_CTL_BATCH_MAX},
	{"confirm-clock", "", "say that the broker's clock is right", "the clock is confirmed",
	 kt_ctl_confirm_clock, 0, KT_CTL_TAKES_NOTHING, 0, 0},
	{"revoke", "DEVICE...|SELECTOR...", "end every credential and every session of a device",
	 "revoked", kt_ctl_revoke, SELECTION | BIT(EMERGENCY) | BIT(WIPE) | BIT(NOTE),
	 KT_CTL_TAKES_SELECTION, 0, KT_CTL_BATCH_MAX},
	{"delete-device", "DEVICE...|SELECTOR...", "end a device for good", "deleted",
	 kt_ctl_delete_device, SELECTION, KT_CTL_TAKES_SELECTION, 0, KT_CTL_BATCH_MAX},
	{"operator", "add|remove|list [WORD...]", "who may command", "done", kt_ctl_operator,
	 BIT(NOTE) | BIT(REMOVED), KT_CTL_TAKES_WORDS, 1, 4},
	{"status", "", "the plugin, its ledger, and how many of what", "", kt_ctl_status, 0,
	 KT_CTL_TAKES_NOTHING, 0, 0},
	{"events", "", "print the next event, or all from now on", "", kt_ctl_events, BIT(FOLLOW),
	 KT_CTL_TAKES_NOTHING, 0, 0},
	{"policy", "check [FILE]", "read a policy file as the plugin does, without a broker", "",
	 kt_ctl_policy, BIT(CONFIG_FILE), KT_CTL_TAKES_WORDS, 1, 2},
	{"audit", "verify|show|export [PATH]", "check a ledger, or read it, without a broker", "",
	 kt_ctl_audit, BIT(CONFIG_FILE) | BIT(LEDGER_DIR) | AUDIT, KT_CTL_TAKES_WORDS, 1, 2},
	{"ledger", "verify DIRECTORY", "the older name of audit verify", "", kt_ctl_audit, 0,
	 KT_CTL_TAKES_WORDS, 2, 2},
	{"backup", "DIRECTORY", "copy the ledger, beside a running broker", "", kt_ctl_backup,
	 BIT(CONFIG_FILE) | BIT(LEDGER_DIR), KT_CTL_TAKES_WORDS, 1, 1},
	{"restore", "[DIRECTORY]", "put a backup's ledger back, or accept an older one", "",
	 kt_ctl_restore, BIT(CONFIG_FILE) | BIT(ACCEPT_ROLLBACK) | BIT(NOTE), KT_CTL_TAKES_WORDS, 0,
	 1},
	{"reconcile", "end", "take over no more newer certificates", "reconciling is over",
	 kt_ctl_reconcile, BIT(NOTE), KT_CTL_TAKES_WORDS, 1, 1},
};

const struct kt_ctl_command *kt_ctl_command_at(size_t index)
{
	return index < sizeof(commands) / sizeof(commands[0]) ? &commands[index] : NULL;
}
