"""The scripts of train-centos7 on a stand-in of a CentOS machine."""
