# cmake, make -j2 and ctest of cJSON (Debian's source package); the fresh programs are executed.
# TIER: ci
# VOLATILE: build/CMakeFiles/*.log build/CMakeFiles/*.yaml build/Testing/* build/CMakeFiles/*.make build/CMakeFiles/Makefile2 build/*.marks build/CMakeCache.txt
# VOLATILE: *.internal
# LOOSE: build/CMakeFiles/CMakeTmp* build/CMakeFiles/CMakeScratch*
prepare()
{
	need cmake make cc ctest
	debian_source cjson
}

run()
{
	cmake -S cjson -B build -DCMAKE_BUILD_TYPE=Debug -DENABLE_CJSON_UTILS=On -DCMAKE_C_FLAGS=-Wno-error >configure.log
	make -C build -j2 >make.log 2>&1
	sort make.log | grep -c Built
	cd build
	ctest -j2 | grep -E 'tests passed|Failed' | sed 's/, Total.*//'
	./cJSON_test | cksum
	echo '#include "cJSON.h"
		#include <stdio.h>
		int main(void) { char *s = cJSON_PrintUnformatted(cJSON_Parse("{ \"a\" : [1, 2] }")); puts(s); return s[0] != 123; }' >t.c
	cc -I../cjson -o t t.c -L. -lcjson
	LD_LIBRARY_PATH=. ./t
	make install DESTDIR="$PWD/root" >/dev/null
	find root | sort
	rm ../configure.log ../make.log
}
