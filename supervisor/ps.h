/* supervisor/ps.h - what the supervisor tells about itself and its guests. */
#ifndef SUPERVISOR_PS_H
#define SUPERVISOR_PS_H

#include "supervisor/supervisor.h"

#include <cjson/cJSON.h>

cJSON *ps_json(Supervisor *sup);
cJSON *stats_json(Supervisor *sup);

#endif
