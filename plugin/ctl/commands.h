/*
 * commands - what each command of keyturnctl does; called through the table in options.c alone.
 */
#ifndef KT_CTL_COMMANDS_H
#define KT_CTL_COMMANDS_H

#include "ctl.h"
#include "json.h"

/* commands.c */
kt_ctl_command_run kt_ctl_create_device;
kt_ctl_command_run kt_ctl_create_ticket;
kt_ctl_command_run kt_ctl_approve;
kt_ctl_command_run kt_ctl_deny;
kt_ctl_command_run kt_ctl_cancel;
kt_ctl_command_run kt_ctl_challenge;
kt_ctl_command_run kt_ctl_quarantine;
kt_ctl_command_run kt_ctl_release;
kt_ctl_command_run kt_ctl_confirm_clock;
kt_ctl_command_run kt_ctl_reconcile;
kt_ctl_command_run kt_ctl_revoke;
kt_ctl_command_run kt_ctl_delete_device;
/* select_command.c */
kt_ctl_command_run kt_ctl_rotate;
kt_ctl_command_run kt_ctl_set;
/* campaign_command.c */
kt_ctl_command_run kt_ctl_campaign;
/* policy_command.c */
kt_ctl_command_run kt_ctl_policy;
/* import_command.c */
kt_ctl_command_run kt_ctl_import;
/* operator_command.c */
kt_ctl_command_run kt_ctl_operator;
/* Behind "sha256:", if that is there. */
const char *kt_ctl_fingerprint(const char *word);
/* reports.c */
kt_ctl_command_run kt_ctl_list_operators;
kt_ctl_command_run kt_ctl_list;
kt_ctl_command_run kt_ctl_pending;
kt_ctl_command_run kt_ctl_show;
kt_ctl_command_run kt_ctl_status;
/* An object of the plugin's by the names of the protocol, without the members @except (ends in
 * NULL). */
void kt_ctl_print_object(const struct kt_ctl *ctl, const struct kt_json_value *object,
			 const char *const *except);
/* events.c */
kt_ctl_command_run kt_ctl_events;
/* ledger_verify.c */
kt_ctl_command_run kt_ctl_audit;
/* audit_command.c */
kt_ctl_command_run kt_ctl_audit_list;
/* restore_command.c */
kt_ctl_command_run kt_ctl_backup;
kt_ctl_command_run kt_ctl_restore;

/* Waits for the outcome of the challenges that were just sent to @devices (events.c). */
enum kt_ctl_exit kt_ctl_await_outcomes(struct kt_ctl *ctl, const char *const *devices,
				       size_t count);
/* Before the order: or an outcome could be missed. */
enum kt_ctl_exit kt_ctl_watch_outcomes(struct kt_ctl *ctl);

#endif
